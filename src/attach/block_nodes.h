// SPDX-License-Identifier: Apache-2.0
//
// Block devices as files: their nodes in /dev, their partitions, and who uses them. For any device of the
// kernel whose partitions are named after it (loop0p1, nbd0p1).
#pragma once

#include <sys/types.h>
#include <vdisk/error.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "filesystem/partition_table.h"

namespace vdisk::attach {

enum class DeviceState {
  kFree,     ///< Has nothing behind it.
  kOurs,     ///< Shows what was asked for.
  kForeign,  ///< Shows something else, or cannot be asked.
};

/// "loop0" of "/dev/loop0": what sysfs calls the device.
std::string base_name(const std::string& node);

/// Sees to it that `node` is the block device `number`: makes it (0600) where nobody fills /dev.
Status make_node(const std::string& node, dev_t number);
/// The same for a disk that the kernel has under the node's name.
Status make_node(const std::string& node);

/// Makes the kernel's partitions of the device those of `table`, but for containers, and returns their nodes.
/// What is there and right stays, so that its users notice nothing. What the kernel refuses (an overlap, a
/// place that is no whole sector, a partition in use that should go) is told in `refused` and left as it is.
/// The kernel is never asked to look for partitions itself.
std::vector<std::string> update_partitions(int device, const std::string& node,
                                           const filesystem::PartitionTable& table,
                                           std::vector<std::string>& refused);

/// Removes all partitions of the device. False when one is in use; the others are gone then.
bool remove_partitions(int device, const std::string& node);

/// Makes all partitions as small as the kernel lets them be.
void shrink_partitions(int device, const std::string& node) noexcept;

/// The kernel's partitions of the device, as nodes, ascending.
std::vector<std::string> partitions_of(const std::string& node);

/// Who uses the device or a partition of it, in words: "mounted on /mnt", "in use as swap", "used by dm-0",
/// "open in fio (1234)". `except`: processes that may have it open.
std::vector<std::string> users_of(const std::string& node, std::span<const pid_t> except);

/// A descriptor of the device that keeps everyone else from mounting it while it is open; unset when somebody
/// has claimed the device or a partition already.
std::optional<UniqueFd> claim(const std::string& node, bool read_only);

}  // namespace vdisk::attach
