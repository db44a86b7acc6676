// SPDX-License-Identifier: Apache-2.0
//
// What an attachment consists of besides a keeper: text and open files, as messages of one socket. A keeper
// leaves a copy with the process beside it (companion.h), so that a successor can go on where a killed one
// stopped; and it gives its estate away when another version of the program takes its place.
#pragma once

#include <vdisk/error.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attach/fields.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

/// Owner of its descriptors. Thread rule: as a plain value.
class Estate {
 public:
  Fields fields;

  /// Adds a copy of `fd`; nothing for -1, and for a descriptor that cannot be copied.
  void add(std::string_view name, int fd);
  /// Takes the first descriptor of that name out; closed if there is none.
  UniqueFd take(std::string_view name);
  std::vector<UniqueFd> take_all(std::string_view name);
  /// Another estate with the same open files.
  Estate copy() const;

  /// Sends all of it. False when the other side is gone.
  bool send(int socket) const noexcept;
  /// Waits for an estate, or for a message without descriptors, which is one with no open files; as
  /// receive_message.
  static Result<Estate> receive(int socket, int milliseconds);

 private:
  std::vector<std::pair<std::string, UniqueFd>> descriptors_;
};

}  // namespace vdisk::attach
