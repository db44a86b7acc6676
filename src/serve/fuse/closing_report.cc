// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/closing_report.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "serve/fuse/faults.h"

namespace vdisk::serve {

namespace {

constexpr std::string_view kClean = "clean";
constexpr std::size_t kMostTextBytes = 4096;
constexpr int kMostWaiting = 16;

/// An abstract name: nothing is left behind by a server that is killed.
struct Address {
  sockaddr_un value{};
  socklen_t length = 0;
};

Address address_of(std::string_view own_name) noexcept {
  Address address;
  address.value.sun_family = AF_UNIX;
  std::array<char, sizeof address.value.sun_path - 1> name{};
  const auto end = fmt::format_to_n(name.data(), name.size(), "vdisk-files-{}", own_name);
  const std::size_t length = std::min(end.size, name.size());
  std::memcpy(address.value.sun_path + 1, name.data(), length);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return address;
}

UniqueFd new_socket(int more) noexcept {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | more, 0));
}

const sockaddr* generic(const Address& address) noexcept {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address.value));
}

bool may_be_believed(int socket) noexcept {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return ::geteuid() == 0 || peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

std::string closing_name(unsigned connection) { return std::to_string(connection); }

ClosingReport::ClosingReport(std::string_view name) noexcept : socket_(new_socket(SOCK_NONBLOCK)) {
  const Address address = address_of(name);
  if (!socket_ || ::bind(socket_.get(), generic(address), address.length) != 0 ||
      ::listen(socket_.get(), kMostWaiting) != 0) {
    socket_.reset();
  }
}

void ClosingReport::tell(const Status& closed) noexcept {
  if (!socket_) return;
  try {
    const std::string text =
        closed ? std::string(kClean) : closed.error().message().substr(0, kMostTextBytes);
    for (;;) {
      const UniqueFd caller(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!caller) break;
      static_cast<void>(::send(caller.get(), text.data(), text.size(), MSG_NOSIGNAL));
    }
  } catch (const std::bad_alloc&) {  // They hear that the server ended without a word.
  }
  socket_.reset();
}

ClosingWait::ClosingWait(std::string_view name) noexcept : socket_(new_socket(0)) {
  const Address address = address_of(name);
  if (!socket_ || ::connect(socket_.get(), generic(address), address.length) != 0 ||
      !may_be_believed(socket_.get())) {
    socket_.reset();
  }
}

Status ClosingWait::wait(const std::string& folder) {
  std::string text;
  std::array<char, kMostTextBytes> piece;
  while (text.size() < kMostTextBytes) {
    const ssize_t got = ::recv(socket_.get(), piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  if (text == kClean) return {};
  if (text.empty()) return fail(faults::kClosing, "{}: the server ended without closing the image", folder);
  return fail(faults::kClosing, "{}: unmounted, but the image could not be closed: {}", folder, text);
}

}  // namespace vdisk::serve
