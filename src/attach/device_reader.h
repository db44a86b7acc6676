// SPDX-License-Identifier: Apache-2.0
//
// A process that waits for an attached device in the keeper's stead: what serves the device may be killed
// meanwhile, and then the keeper must be free to put a successor in its place.
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/unique_fd.h"

namespace vdisk::attach {

/// Thread rule: the keeper's one thread. It ends with the keeper, if the device lets it; what it has open is
/// the device alone, so that nothing else of the attachment outlives that.
class DeviceReader {
 public:
  /// Does nothing yet.
  DeviceReader() = default;
  /// Forks it: calls work(), whose result is its exit status. Not started where no process can be had.
  DeviceReader(int device, const std::function<int()>& work);

  bool started() const noexcept { return process_ > 0; }
  /// Becomes readable when it has ended.
  int ended_fd() const noexcept { return ended_.get(); }
  /// After that: its exit status; EIO when it was killed. Not started any more.
  int finish();

 private:
  pid_t process_ = 0;
  UniqueFd ended_;
};

}  // namespace vdisk::attach
