// SPDX-License-Identifier: Apache-2.0
//
// Disks whose bytes lie in their file as they are, for those who hand the file itself to someone else (a loop
// device).
#pragma once

#include <vdisk/disk.h>

#include <optional>

namespace vdisk {

/// A range of a disk as a range of a file.
struct DirectRange {
  int fd = -1;  ///< The image's own open file, with its lock; the disk's.
  FileOffset from;
};

/// Where `range` lies if all of it is data in one run of the leaf's own file; unset otherwise. REQUIRES: not
/// empty, inside the disk.
Result<std::optional<DirectRange>> find_direct_range(const Disk& disk, DiskRange range);

/// Does what the first write to the disk would do before it moves payload, so that writing past the disk is
/// lawful from now on: Hyper-V's tracking files are looked for, a VHDX has new GUIDs in its headers.
/// REQUIRES: find_direct_range found something; the disk was opened writable.
/// **Durability:** the marks are on stable storage.
Status begin_direct_writes(const Disk& disk);

}  // namespace vdisk
