// SPDX-License-Identifier: Apache-2.0
#include "attach/estate.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "attach/faults.h"
#include "attach/message.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// The kernel takes at most 253 at once (SCM_MAX_FD).
constexpr std::size_t kMostAtOnce = 128;
constexpr std::string_view kName = "descriptor";

using Control = std::array<char, CMSG_SPACE(kMostAtOnce * sizeof(int))>;

/// One message of a single byte, with descriptors.
bool send_some(int socket, std::span<const int> descriptors) noexcept {
  char byte = 0;
  iovec payload{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) Control control{};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == 1;
}

/// The descriptors of one such message; none when it is no such message.
std::vector<UniqueFd> receive_some(int socket) {
  char byte = 0;
  iovec payload{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) Control control{};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  std::vector<UniqueFd> descriptors;
  if (got != 1) return descriptors;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::array<int, kMostAtOnce> numbers{};
    const std::size_t bytes = std::min(header->cmsg_len - CMSG_LEN(0), sizeof numbers);
    std::memcpy(numbers.data(), CMSG_DATA(header), bytes);
    for (std::size_t i = 0; i < bytes / sizeof(int); ++i) descriptors.emplace_back(numbers[i]);
  }
  return descriptors;
}

}  // namespace

void Estate::add(std::string_view name, int fd) {
  UniqueFd copy(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (copy) descriptors_.emplace_back(name, std::move(copy));
}

UniqueFd Estate::take(std::string_view name) {
  const auto found = std::ranges::find(descriptors_, name, [](const auto& entry) { return entry.first; });
  if (found == descriptors_.end()) return {};
  UniqueFd fd = std::move(found->second);
  descriptors_.erase(found);
  return fd;
}

std::vector<UniqueFd> Estate::take_all(std::string_view name) {
  std::vector<UniqueFd> all;
  while (UniqueFd fd = take(name)) all.push_back(std::move(fd));
  return all;
}

Estate Estate::copy() const {
  Estate other;
  other.fields = fields;
  for (const auto& [name, fd] : descriptors_) other.add(name, fd.get());
  return other;
}

bool Estate::send(int socket) const noexcept {
  Fields text = fields;
  std::vector<int> numbers;
  for (const auto& [name, fd] : descriptors_) {
    text.add(kName, name);
    numbers.push_back(fd.get());
  }
  if (!send_message(socket, text)) return false;
  for (std::span<const int> left = numbers; !left.empty();) {
    const auto some = left.first(std::min(left.size(), kMostAtOnce));
    if (!send_some(socket, some)) return false;
    left = left.subspan(some.size());
  }
  return true;
}

Result<Estate> Estate::receive(int socket, int milliseconds) {
  Estate estate;
  estate.fields = VDISK_TRY(receive_message(socket, milliseconds));
  const std::vector<std::string> names = estate.fields.all(kName);
  while (estate.descriptors_.size() < names.size()) {
    std::vector<UniqueFd> some = receive_some(socket);
    if (some.empty() || some.size() > names.size() - estate.descriptors_.size()) {
      return fail(faults::kForeignAnswer, "{} of {} open files of an attachment arrived",
                  estate.descriptors_.size(), names.size());
    }
    for (UniqueFd& fd : some)
      estate.descriptors_.emplace_back(names[estate.descriptors_.size()], std::move(fd));
  }
  estate.fields.remove(kName);
  return estate;
}

}  // namespace vdisk::attach
