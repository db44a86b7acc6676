// SPDX-License-Identifier: Apache-2.0
//
// The cylinder/head/sector geometry that a VHD footer records. Only ever written and shown: a disk's size is
// its current size, never what the geometry addresses (formats.md 1.9).
#pragma once

#include <algorithm>
#include <cstdint>

namespace vdisk::vhd {

struct Geometry {
  std::uint16_t cylinders = 0;
  std::uint8_t heads = 0;
  std::uint8_t sectors_per_track = 0;

  std::uint64_t sector_count() const noexcept { return std::uint64_t{cylinders} * heads * sectors_per_track; }
  bool operator==(const Geometry&) const = default;
};

/// VHD spec, "CHS Calculation"; formats.md 1.8.
constexpr Geometry geometry_of(std::uint64_t size_bytes) noexcept {
  constexpr std::uint64_t kMostSectors = 65535ull * 16 * 255;
  constexpr std::uint64_t kLargeSectors = 65535ull * 16 * 63;
  const std::uint64_t sectors = std::min<std::uint64_t>(size_bytes / 512, kMostSectors);
  std::uint64_t track = 255;
  std::uint64_t heads = 16;
  std::uint64_t cylinders_times_heads = sectors / track;
  if (sectors < kLargeSectors) {
    track = 17;
    cylinders_times_heads = sectors / track;
    heads = std::max<std::uint64_t>((cylinders_times_heads + 1023) / 1024, 4);
    if (cylinders_times_heads >= heads * 1024 || heads > 16) {
      track = 31;
      heads = 16;
      cylinders_times_heads = sectors / track;
    }
    if (cylinders_times_heads >= heads * 1024) {
      track = 63;
      heads = 16;
      cylinders_times_heads = sectors / track;
    }
  }
  return {static_cast<std::uint16_t>(cylinders_times_heads / heads), static_cast<std::uint8_t>(heads),
          static_cast<std::uint8_t>(track)};
}

}  // namespace vdisk::vhd
