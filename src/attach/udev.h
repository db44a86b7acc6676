// SPDX-License-Identifier: Apache-2.0
//
// What udev is told of attached disks. The kernel's loop and NBD devices have no serial number and no model:
// what lsblk and /dev/disk/by-id show of them is what udev's rules have asked 'vdisk list --udev' for.
#pragma once

#include <vdisk/attachment.h>

#include <optional>
#include <string>

#include "attach/registry.h"

namespace vdisk::attach {

/// The live attachment whose device, or a partition of whose device, `node` is, as its record says. Waits for
/// nobody: asks no server, and does not open the device.
Result<std::optional<AttachmentInfo>> recorded_at(const std::string& node,
                                                  const RegistryOptions& options = {});

/// The properties of its disk and partitions, `KEY=value` lines as IMPORT{program} takes them. Whatever the
/// image is called, no value leaves its line.
std::string udev_properties(const AttachmentInfo& info);

/// Has udev look again at the device and at its partitions. Where that cannot be, nobody is told.
void announce(const std::string& node) noexcept;

}  // namespace vdisk::attach
