// SPDX-License-Identifier: Apache-2.0
//
// The partitions of a disk, from its MBR or its GUID partition table. Formats: UEFI specification 2.10,
// chapter 5; the extended chain and the numbers are Linux' (block/partitions/msdos.c, efi.c).
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "filesystem/gpt.h"

namespace vdisk::filesystem {

struct Partition {
  /// As Linux numbers it, the N of /dev/loop0pN: in an MBR 1 to 4 by place and logical partitions from 5; in
  /// a GPT the place of the entry, from 1.
  std::uint32_t number = 0;
  DiskRange range;
  std::string type;  ///< GPT: the type GUID. MBR: the type byte, "0x83".
  std::string name;  ///< GPT only; UTF-8.
  std::string uuid;  ///< As Linux writes a PARTUUID: GPT the entry's GUID, MBR "0a1b2c3d-01".
  /// An MBR's extended partition, which holds the logical ones and no file system.
  bool container = false;

  bool operator==(const Partition&) const = default;
};

struct PartitionTable {
  enum class Kind { kNone, kMbr, kGpt };
  Kind kind = Kind::kNone;
  std::string id;  ///< GPT: the disk's GUID. MBR: the disk signature, "0a1b2c3d".
  std::uint32_t sector_bytes =
      0;  ///< In which the table counts; a table may have been made for another sector size.
  bool from_backup = false;           ///< The primary GPT is damaged, and its backup was taken.
  std::vector<Partition> partitions;  ///< The good ones, ascending by number.
  /// The first thing that is wrong with the table; what is in `partitions` can be used all the same.
  std::optional<Error> damage;
};

/// Most entries that are looked at: Linux gives a disk at most 255 partitions.
inline constexpr std::uint32_t kMostPartitions = 255;

/// The table of a disk of `disk_bytes`. Disks without one (a file system from the first sector on, a blank
/// disk) have kind kNone and no partitions. Reads at most some 4 MiB. Fails only as `read` does.
Result<PartitionTable> read_partition_table(const DiskReader& read, std::uint64_t disk_bytes,
                                            std::uint32_t logical_sector_bytes);

}  // namespace vdisk::filesystem
