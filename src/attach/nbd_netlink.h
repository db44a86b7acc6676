// SPDX-License-Identifier: Apache-2.0
//
// The kernel's NBD client is told what to do by generic netlink (Linux, include/uapi/linux/nbd-netlink.h).
// These few messages are written here; no library is needed for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace vdisk::attach {

/// One request: attributes in the order in which they are added.
class NbdCommand {
 public:
  /// An NBD_CMD_….
  explicit NbdCommand(std::uint8_t command) noexcept : command_(command) {}

  void add(std::uint16_t attribute, std::uint32_t value);
  void add(std::uint16_t attribute, std::uint64_t value);
  void add(std::uint16_t attribute, std::string_view text);
  /// NBD_ATTR_SOCKETS with one socket. The kernel takes a reference of its own.
  void add_socket(int socket);

 private:
  friend class NbdNetlink;
  std::uint8_t command_;
  std::vector<std::byte> attributes_;
};

/// An open netlink socket. Thread rule: one thread. Owner: as a plain value.
class NbdNetlink {
 public:
  /// Nothing where the kernel knows no NBD; `error` is an errno.
  static std::optional<NbdNetlink> open(int& error);

  /// Sends and waits for the answer: 0 or an errno. `index`, if given, becomes the device that the answer
  /// names.
  int send(const NbdCommand& command, std::uint32_t* index = nullptr);

 private:
  NbdNetlink(UniqueFd socket, std::uint16_t family) noexcept : socket_(std::move(socket)), family_(family) {}

  UniqueFd socket_;
  std::uint16_t family_ = 0;
  std::uint32_t sequence_ = 1;
};

}  // namespace vdisk::attach
