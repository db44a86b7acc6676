// SPDX-License-Identifier: Apache-2.0
//
// What a new image is to be. Every default was chosen and every rule applied before (src/disk/ops/create.cc,
// and later convert): a format's create only writes what is asked for.
#pragma once

#include <vdisk/image_info.h>
#include <vdisk/operations.h>
#include <vdisk/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace vdisk {

/// The parent that a new differencing image records. Paths are UTF-8. Texts in Windows' way use `\`.
struct ParentLink {
  Guid identifier;               ///< The parent's ImageProperties::identifier.
  std::string name;              ///< Its file name.
  std::string windows_relative;  ///< From the child's folder: ".\base.vhdx", "..\images\base.vhdx".
  std::string linux_relative;    ///< The same, "./base.vhdx".
  std::string linux_absolute;    ///< "/images/base.vhdx".
  /// "C:\images\base.vhdx"; empty when no drive is known to hold the parent.
  std::string windows_absolute;
  /// VHD: when the parent's file was last modified, seconds since 2000; 0 is "not recorded", as Windows 10
  /// writes it.
  std::uint32_t timestamp = 0;

  /// What is recorded as the absolute path: Windows' form if it is known, else the Linux path, which a reader
  /// here follows and Windows finds nothing behind (it tries the relative path first).
  const std::string& absolute() const noexcept {
    return windows_absolute.empty() ? linux_absolute : windows_absolute;
  }
};

/// REQUIRES, of whoever fills it: sizes, blocks and sectors are legal for the format and type, and `parent`
/// is set exactly for differencing images.
struct CreateSpec {
  DiskType type = DiskType::kDynamic;
  std::uint64_t virtual_size_bytes = 0;
  std::uint32_t block_bytes = 0;  ///< 0 where the type has no blocks.
  std::uint32_t logical_sector_bytes = 512;
  std::uint32_t physical_sector_bytes = 512;
  Guid identifier;       ///< What children will record: VHD unique id, VHDX DataWriteGuid.
  Guid virtual_disk_id;  ///< VHDX alone.
  Guid file_write_guid;  ///< VHDX alone.
  std::int64_t creation_unix_seconds = 0;
  Preallocation preallocation = Preallocation::kNone;  ///< Of fixed disks.
  std::optional<ParentLink> parent;
};

}  // namespace vdisk
