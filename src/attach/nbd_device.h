// SPDX-License-Identifier: Apache-2.0
//
// The kernel's NBD devices: a block device whose requests go over a socket, which can be replaced.
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <functional>
#include <optional>
#include <string>

#include "attach/block_nodes.h"
#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk::attach {

/// Hands the server its end of a socket: it is to answer there (serve/nbd/transmission.h) from now on.
using GiveSocket = std::function<Status(UniqueFd end)>;

struct NbdSetup {
  std::string name;  ///< For messages, and for whoever looks at the device's `backend` in sysfs.
  std::uint64_t length_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  bool read_only = false;
};

/// An NBD device that is open, and that the kernel clears when its last user lets it go. Owner: whoever keeps
/// the attachment alive.
class NbdDevice {
 public:
  /// Takes a free device. Fails with attach.no_privilege and attach.device, and as `give`.
  static Result<NbdDevice> attach(const NbdSetup& setup, const GiveSocket& give);

  /// One that another process attached, open as `fd`. Fails with attach.device when that is none.
  static Result<NbdDevice> adopt(const std::string& node, UniqueFd fd);

  NbdDevice(NbdDevice&&) noexcept = default;
  NbdDevice& operator=(NbdDevice&&) noexcept = default;

  const std::string& node() const noexcept { return node_; }
  int fd() const noexcept { return fd_.get(); }
  FileIdentity backing() const noexcept { return tag_; }

  /// Gives the device another socket in the place of one whose other end is closed; requests that were not
  /// answered come again on it. Fails with attach.device when the kernel has given the device up, and as
  /// `give`.
  Status reconnect(const GiveSocket& give);
  /// Lets the device go and waits until it is gone. Fails with attach.device when somebody else has it open:
  /// it goes when they let it go.
  Status remove();
  /// Fails whatever waits for the device, and everything from now on.
  void abort() noexcept;

 private:
  NbdDevice(std::string node, std::uint32_t index, std::string backend, FileIdentity tag, UniqueFd fd)
      : node_(std::move(node)), index_(index), backend_(std::move(backend)), tag_(tag), fd_(std::move(fd)) {}

  std::string node_;
  std::uint32_t index_ = 0;
  std::string backend_;
  FileIdentity tag_;  ///< Made up; what tells this device from a later one of its name.
  UniqueFd fd_;
};

bool is_nbd(const std::string& node) noexcept;
/// Whether the NBD device at `node` is the one of that tag.
DeviceState nbd_state(const std::string& node, FileIdentity tag);
/// As NbdDevice::abort, for a device of another process.
void abort_nbd(const std::string& node) noexcept;

/// Why there can be no NBD devices here, if so.
std::optional<std::string> no_nbd();

}  // namespace vdisk::attach
