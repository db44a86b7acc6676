// SPDX-License-Identifier: Apache-2.0
//
// Which space of a VHDX file is free, and how the file grows. Space comes in MiB (MS-VHDX 2.1: blocks are
// aligned to it and are multiples of it).
#pragma once

#include <cstdint>
#include <map>

#include "base/fault.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/space_map.h"
#include "io/file.h"

namespace vdisk::vhdx {

/// A stretch of the file, in MiB.
struct Space {
  std::uint64_t first_mib = 0;
  std::uint64_t count_mib = 0;
  /// Nothing was ever written there: it reads as zeros, and does so after any crash.
  bool never_used = false;

  std::uint64_t offset() const noexcept { return first_mib * kMiB; }
  std::uint64_t bytes() const noexcept { return count_mib * kMiB; }
};

/// Thread rule: one caller at a time (the writer's lock).
class SpaceAllocator {
 public:
  explicit SpaceAllocator(File& file) : file_(file) {}

  /// Everything that `taken` does not name is free, up to the file's end and, from there or from
  /// `occupied_end` on, for ever. Makes the file whole MiB long.
  Status begin(const SpaceMap& taken, std::uint64_t occupied_end);

  /// One stretch for one to `most_units` units of `unit_mib` each: as many as one stretch has, freed space
  /// first, then the file grows, by an eighth of itself at least where the host allows it. Space that was
  /// used before still holds what it held: whoever hands it out clears it.
  Result<Space> allocate(std::uint64_t unit_mib, std::uint64_t most_units);
  /// REQUIRES: nobody reads or writes it any more, and nothing on stable storage refers to it.
  void release(const Space& space);

  std::uint64_t file_bytes() const noexcept { return file_mib_ * kMiB; }
  /// Where the last thing that is not free ends.
  std::uint64_t used_end_bytes() const noexcept;

 private:
  /// Bounds the memory of the free map: beyond it free space is forgotten until the file is opened again.
  static constexpr std::size_t kMostStretches = 1 << 20;

  bool take_freed(std::uint64_t unit_mib, std::uint64_t most_units, Space& space);
  Status grow_to(std::uint64_t mib);

  File& file_;
  std::map<std::uint64_t, std::uint64_t> freed_;  ///< First MiB and count; neither overlap nor touch.
  std::uint64_t no_fit_mib_ = ~std::uint64_t{0};  ///< No stretch of freed_ has so many MiB.
  std::uint64_t unused_mib_ = 0;                  ///< From here on nothing was ever used.
  std::uint64_t file_mib_ = 0;
};

}  // namespace vdisk::vhdx
