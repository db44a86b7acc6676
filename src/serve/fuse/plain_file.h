// SPDX-License-Identifier: Apache-2.0
//
// A range of a disk as programs see it that know files alone: any offset, any length, and an end.
#pragma once

#include <vdisk/disk.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/mutex.h"
#include "base/sector_gate.h"
#include "serve/fuse/fuse_server.h"

namespace vdisk::serve::fuse {

/// Thread rule: all members, any thread. Owner: the folder; the disk outlives it. REQUIRES of all ranges:
/// they lie inside the file.
class PlainFile {
 public:
  /// `gate` is that of the file's disk. REQUIRES: the range lies inside the disk and consists of whole
  /// sectors.
  PlainFile(ServedFile served, std::shared_ptr<SectorGate> gate, std::chrono::nanoseconds changed);

  const std::string& name() const noexcept { return served_.name; }
  const Disk& disk() const noexcept { return *served_.disk; }
  SectorGate& gate() const noexcept { return *gate_; }
  std::uint64_t size_bytes() const noexcept { return served_.range.length; }
  bool read_only() const noexcept { return served_.read_only; }
  bool overlaps(const PlainFile& other) const noexcept;
  DiskRange on_disk(std::uint64_t at, std::uint64_t length) const noexcept {
    return {{served_.range.at.bytes + at}, length};
  }
  bool whole_sectors(std::uint64_t at, std::uint64_t length) const noexcept;

  Status read(std::uint64_t at, std::span<std::byte> into) const;
  Status write(std::uint64_t at, std::span<const std::byte> from) const;
  /// Makes the range read as zeros.
  Status zero(std::uint64_t at, std::uint64_t length, ZeroSpace space) const;
  Status flush() const { return served_.disk->flush(); }
  /// The first offset from `at` on that may hold data (or that reads as zeros, for `data` false);
  /// size_bytes() if there is none.
  Result<std::uint64_t> seek(std::uint64_t at, bool data) const;

  /// How much of the file is not zeros without space of its own: exact where that can be told in little time,
  /// else too much rather than too little.
  std::uint64_t allocated_bytes();
  /// Since 1970.
  std::chrono::nanoseconds changed() const noexcept { return std::chrono::nanoseconds(changed_.load()); }
  /// The content is another one from now on.
  void note_change() noexcept;

 private:
  template <class Whole, class Part>
  Status change(std::uint64_t at, std::uint64_t length, Whole&& whole, Part&& part) const;
  std::uint64_t count_allocated() const;

  const ServedFile served_;
  const std::shared_ptr<SectorGate> gate_;
  std::atomic<std::int64_t> changed_;
  std::atomic<bool> counted_{false};

  Mutex count_mutex_;
  std::uint64_t allocated_ VDISK_GUARDED_BY(count_mutex_) = 0;
  std::chrono::steady_clock::time_point counted_at_ VDISK_GUARDED_BY(count_mutex_);
};

}  // namespace vdisk::serve::fuse
