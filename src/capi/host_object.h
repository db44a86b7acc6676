// SPDX-License-Identifier: Apache-2.0
//
// The object behind a handle of VirtdiskHandleFromPath: a file, folder or block device of the host.
#pragma once

#include <string>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "capi/handle_table.h"

namespace vdisk::capi {

/// Holds the object, whatever becomes of its name, as a handle of Windows does. Immutable.
class HostObject final : public HandleObject {
 public:
  /// Fails with 2, 3 or 5.
  static Result<std::shared_ptr<const HostObject>> open(const std::string& path);

  /// A path that leads to the object as long as it is held.
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }
  /// As the caller named it, for messages.
  const std::string& name() const noexcept { return name_; }

 private:
  HostObject(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  UniqueFd fd_;
  std::string name_;
};

}  // namespace vdisk::capi
