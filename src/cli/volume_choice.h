// SPDX-License-Identifier: Apache-2.0
//
// Which partition of a disk is mounted when it is mounted.
#pragma once

#include <vdisk/error.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vdisk::cli {

/// A partition, or the disk, with the file system that is on it ("" if none is known).
struct Volume {
  std::string path;
  std::string type;  ///< As libblkid names it.
  std::uint64_t bytes = 0;

  /// As people know it: a device node with its path, a file by its name alone.
  std::string name() const;
};

/// A disk as the operating system shows it: block devices or plain files.
struct VolumePaths {
  std::string image;  ///< For messages.
  std::string disk;
  std::vector<std::string> partitions;
  std::string before_number;  ///< Of a partition's path: "/dev/loop0p", or "…/partition"
  std::string after_number;   ///< and "", or ".raw".
};

struct VolumeChoice {
  Volume volume;
  std::string reason;  ///< "it is the only one with a file system"
};

/// The partition that is wanted; without one the only one with a file system, else the largest of those; the
/// disk itself where it has no partitions. Fails with attach.no_partition, attach.no_file_system.
Result<VolumeChoice> choose_volume(const VolumePaths& paths, const std::optional<std::uint32_t>& wanted);

}  // namespace vdisk::cli
