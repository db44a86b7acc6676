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
#include <span>
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

/// What a format lets a new image be, and what it takes when nothing is asked for.
struct CreateLimits {
  std::uint64_t least_bytes = 0;  ///< Of the virtual size.
  std::uint64_t most_bytes = 0;
  bool fixed_only = false;
  std::span<const std::uint32_t> block_sizes;   ///< That may be asked for: dynamic and differencing disks.
  std::span<const std::uint32_t> sector_sizes;  ///< Logical and physical ones.
  std::uint32_t physical_sector_bytes = 512;    ///< Default.
  std::uint32_t fixed_block_bytes = 0;          ///< Always taken.
  std::uint32_t dynamic_block_bytes = 0;        ///< Default.
  std::uint32_t differencing_block_bytes =
      0;                             ///< Default; 0: the parent's if it is legal, else the dynamic one.
  bool child_may_be_larger = false;  ///< Than its parent.
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
