// SPDX-License-Identifier: Apache-2.0
#include "attach/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// A server names its record a moment before it listens.
constexpr int kListenMilliseconds = 1000;

/// The socket `name` in an open folder: the path of a folder may be longer than an address, and may change.
sockaddr_un address_of(int folder, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", folder, name);
  VDISK_ASSERT(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) noexcept {
  const void* raw = &address;
  return static_cast<const sockaddr*>(raw);
}

std::optional<ucred> peer_of(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
  return peer;
}

bool trusted(uid_t user) noexcept { return user == 0 || user == ::geteuid(); }

}  // namespace

Result<UniqueFd> listen_beside(const PublishedRecord& record) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const std::string name = record.socket_name();
  const sockaddr_un address = address_of(record.folder_fd(), name);
  // The record is ours, so its socket is, too: a dead server's may lie there.
  ::unlinkat(record.folder_fd(), name.c_str(), 0);
  if (!socket || ::bind(socket.get(), generic(address), sizeof address) != 0 ||
      ::fchmodat(record.folder_fd(), name.c_str(), 0600, 0) != 0 || ::listen(socket.get(), 16) != 0) {
    return fail_errno(faults::kDevice, errno, "making the control socket {}", name);
  }
  return socket;
}

UniqueFd accept_control(int listening) {
  UniqueFd peer(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
  const auto who = peer ? peer_of(peer.get()) : std::nullopt;
  if (!who || !trusted(who->uid)) return {};
  return peer;
}

Result<UniqueFd> connect_control(const FoundRecord& record, pid_t& server) {
  const UniqueFd folder(::open(record.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(folder.get(), record.name + kSocketSuffix);
  for (int waited = 0;; waited += 10) {
    if (::connect(socket.get(), generic(address), sizeof address) == 0) break;
    const int error = errno;
    if (error == EACCES || error == EPERM) {
      return fail_errno(faults::kNotOurs, error, "{}: is attached by another user", record.record.image_path);
    }
    if ((error != ENOENT && error != ECONNREFUSED) || waited >= kListenMilliseconds) {
      return fail_errno(faults::kServerDied, error, "{}: its server, process {}, cannot be asked",
                        record.record.image_path, record.record.process);
    }
    ::poll(nullptr, 0, 10);
  }
  const auto who = peer_of(socket.get());
  if (!who || !trusted(who->uid)) {
    return fail(faults::kNotOurs, "{}: another user listens in its server's place", record.record.image_path);
  }
  server = who->pid;
  return socket;
}

}  // namespace vdisk::attach
