// SPDX-License-Identifier: Apache-2.0
//
// The host's disk under a file, as GET_VIRTUAL_DISK_INFO_PHYSICAL_DISK asks for it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/file.h"

namespace vdisk {

struct HostDisk {
  std::uint32_t logical_sector_bytes = 512;
  std::uint32_t physical_sector_bytes = 4096;
  bool remote = false;     ///< On a network file system.
  bool removable = false;  ///< On a medium that can be taken out.
};

/// Sector sizes from the block device's queue where there is one, else 512 and the file system's block size
/// (at most 4096). Never fails: what cannot be known keeps the default.
HostDisk host_disk_of(const std::string& path);

bool is_block_device(const std::string& path);

/// The kernel's node ("/dev/loop3p1") of a block device, or of the one that a file or folder lies on. Unset
/// for file systems that lie on none.
std::optional<std::string> block_node_of(const std::string& path);
/// The node of the whole disk ("/dev/sda") that `node`, "/dev/sda2", is a partition of; else `node`.
std::string whole_disk_of(const std::string& node);

struct SectorSizes {
  std::uint32_t logical_bytes = 512;
  std::uint32_t physical_bytes = 512;
};
/// Of the block device that `file` is; the default for everything else, and for a device that does not tell.
SectorSizes device_sector_sizes(const File& file) noexcept;

std::optional<std::uint64_t> host_file_size(const std::string& path);

}  // namespace vdisk
