// SPDX-License-Identifier: Apache-2.0
//
// The kernel's loop devices: a block device over a range of a file.
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <string>

#include "attach/block_nodes.h"
#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk::attach {

struct LoopSetup {
  int file = -1;     ///< The kernel takes a reference of its own to this open file, with its locks.
  std::string name;  ///< For messages.
  /// Of the file; a length of 0 is all of it.
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  bool read_only = false;
};

/// A loop device that is open, and that the kernel clears when its last user lets it go: if this process is
/// killed, nothing is left behind that is not in use. Owner: whoever keeps the attachment alive.
class LoopDevice {
 public:
  /// Takes a free device, with direct I/O where the file can. Fails with attach.no_loop, attach.no_privilege
  /// and attach.device.
  static Result<LoopDevice> attach(const LoopSetup& setup);

  /// One that another process attached, open as `fd`. Fails with attach.device when that is none.
  static Result<LoopDevice> adopt(const std::string& node, UniqueFd fd);

  LoopDevice(LoopDevice&&) noexcept = default;
  LoopDevice& operator=(LoopDevice&&) noexcept = default;

  const std::string& node() const noexcept { return node_; }
  int fd() const noexcept { return fd_.get(); }
  FileIdentity backing() const noexcept { return backing_; }
  bool direct_io() const noexcept { return direct_io_; }

  /// Lets the device go and waits until it is gone. Fails with attach.device when somebody else has it open:
  /// it goes when they let it go.
  Status remove();
  /// Leaves nothing of the file to be seen: whoever still uses the device has errors from now on.
  void starve() noexcept;

 private:
  LoopDevice(std::string node, UniqueFd fd) : node_(std::move(node)), fd_(std::move(fd)) {}

  std::string node_;
  UniqueFd fd_;
  FileIdentity backing_;
  bool direct_io_ = false;
};

/// Whether the loop device at `node` shows the file `backing`.
DeviceState loop_state(const std::string& node, FileIdentity backing);

/// Whether this process may make loop devices: attach.no_privilege or attach.no_loop if not.
Status may_attach_loop();

}  // namespace vdisk::attach
