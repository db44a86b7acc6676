// SPDX-License-Identifier: Apache-2.0
//
// What NBD clients see of a disk: a range of bytes. Disks take whole sectors; clients that do not know the
// sector size are served all the same, by reading, changing and writing back the sector.
#pragma once

#include <vdisk/disk.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/sector_gate.h"

namespace vdisk::serve::nbd {

/// An open disk with what all its clients share.
struct ServedDisk {
  ServedDisk(Disk opened, bool may_write) : disk(std::move(opened)), writable(may_write) {}
  Disk disk;
  SectorGate gate;
  const bool writable;
};

/// One client's view. Thread rule: any number of threads. Owner: keeps the disk open. REQUIRES of all
/// members: the range lies inside the export, as nbdkit sees to.
class Export {
 public:
  /// REQUIRES: `range` lies inside the disk.
  Export(std::shared_ptr<ServedDisk> served, DiskRange range);

  std::uint64_t size_bytes() const noexcept { return range_.length; }
  bool writable() const noexcept { return served_->writable; }
  const DiskGeometry& geometry() const noexcept { return served_->disk.geometry(); }

  Status read(std::uint64_t at, std::span<std::byte> into) const;
  Status write(std::uint64_t at, std::span<const std::byte> from) const;
  Status zero(std::uint64_t at, std::uint64_t length, ZeroSpace space) const;
  /// True where zero() needs no more than a change of metadata.
  Result<bool> zero_is_fast(std::uint64_t at, std::uint64_t length, ZeroSpace space) const;
  Status trim(std::uint64_t at, std::uint64_t length) const;
  Status flush() const;

  /// A stretch of the export, which reads as zeros or may not.
  struct Piece {
    std::uint64_t at;
    std::uint64_t length;
    bool zero;
  };
  /// The pieces from `at` on, in order, until `length` is covered or there are `most` of them. REQUIRES:
  /// length and most are not 0.
  Result<std::vector<Piece>> pieces(std::uint64_t at, std::uint64_t length, std::size_t most) const;

 private:
  template <class Whole, class Part>
  Status change(DiskRange range, Whole&& whole, Part&& part) const;
  DiskRange on_disk(std::uint64_t at, std::uint64_t length) const noexcept {
    return {{range_.at.bytes + at}, length};
  }

  const std::shared_ptr<ServedDisk> served_;
  const DiskRange range_;
};

}  // namespace vdisk::serve::nbd
