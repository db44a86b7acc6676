// SPDX-License-Identifier: Apache-2.0
//
// VHD on disk. "VHD spec" is the Virtual Hard Disk Image Format Specification 1.0 (2006-10-11). All integers
// are big-endian; only the UTF-16 text of the W2ru and W2ku locators is little-endian (formats.md 1.4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/endian.h"

namespace vdisk::vhd {

inline constexpr std::uint32_t kSectorBytes = 512;
inline constexpr std::uint32_t kFooterBytes = 512;
/// Virtual PC before 2004 wrote footers without the last reserved byte (VHD spec, "Hard Disk Footer Format").
inline constexpr std::uint32_t kShortFooterBytes = 511;
inline constexpr std::uint32_t kHeaderBytes = 1024;
inline constexpr std::uint32_t kVersion1 = 0x0001'0000;
/// A BAT entry of a block that is not there.
inline constexpr std::uint32_t kUnallocated = 0xFFFF'FFFF;
/// Time stamps count seconds from 2000-01-01 00:00:00 UTC.
inline constexpr std::int64_t kEpochUnixSeconds = 946'684'800;
/// The largest size of the VHD spec, 2040 GiB. Fixed disks of Azure may be larger (formats.md 1.18).
inline constexpr std::uint64_t kMostSizeBytes = std::uint64_t{2040} << 30;
inline constexpr std::uint32_t kLeastBlockBytes = 512;
/// Our own bound: the VHD spec allows any power of two and tested 512 KiB and 2 MiB (formats.md 1.3).
inline constexpr std::uint32_t kMostBlockBytes = std::uint32_t{256} << 20;

using Tag4 = std::array<char, 4>;
using Tag8 = std::array<char, 8>;

inline constexpr Tag8 kFooterCookie = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};
/// Xen's blktap puts this in the cookie's place to disable a disk on purpose (formats.md 1.2).
inline constexpr Tag8 kPoisonCookie = {'v', '_', 'p', 'o', 'i', 's', 'o', 'n'};
inline constexpr Tag8 kHeaderCookie = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};
inline constexpr Tag8 kBatmapCookie = {'t', 'd', 'b', 'a', 't', 'm', 'a', 'p'};

/// VHD spec, "Hard Disk Footer Format". The last sector of every image; dynamic and differencing images hold
/// a copy at offset 0.
struct Footer {
  Tag8 cookie;                             // 0
  Be<std::uint32_t> features;              // 8
  Be<std::uint32_t> format_version;        // 12
  Be<std::uint64_t> data_offset;           // 16: of the dynamic header; all ones in fixed images
  Be<std::uint32_t> timestamp;             // 24
  Tag4 creator_application;                // 28
  Be<std::uint32_t> creator_version;       // 32
  Tag4 creator_host_os;                    // 36
  Be<std::uint64_t> original_size;         // 40
  Be<std::uint64_t> current_size;          // 48
  Be<std::uint16_t> cylinders;             // 56
  std::uint8_t heads;                      // 58
  std::uint8_t sectors_per_track;          // 59
  Be<std::uint32_t> disk_type;             // 60: 2 fixed, 3 dynamic, 4 differencing
  Be<std::uint32_t> checksum;              // 64
  std::array<std::uint8_t, 16> unique_id;  // 68
  std::uint8_t saved_state;                // 84
  std::array<std::uint8_t, 427> reserved;  // 85
};
static_assert(sizeof(Footer) == kFooterBytes && alignof(Footer) == 1);
static_assert(offsetof(Footer, current_size) == 48 && offsetof(Footer, checksum) == 64 &&
              offsetof(Footer, unique_id) == 68 && offsetof(Footer, saved_state) == 84);

/// VHD spec, "Parent Locator Entry". Windows counts data_space in bytes, the spec says sectors: readers use
/// data_length alone (formats.md 1.4).
struct LocatorEntry {
  Be<std::uint32_t> platform_code;  // 0
  Be<std::uint32_t> data_space;     // 4
  Be<std::uint32_t> data_length;    // 8
  Be<std::uint32_t> reserved;       // 12
  Be<std::uint64_t> data_offset;    // 16
};
static_assert(sizeof(LocatorEntry) == 24);

/// Platform codes of locators (VHD spec, "Parent Locator Entry"; formats.md 1.4).
enum class Platform : std::uint32_t {
  kNone = 0,
  kWi2r = 0x5769'3272,  ///< Deprecated: relative, ANSI.
  kWi2k = 0x5769'326B,  ///< Deprecated: absolute, ANSI.
  kW2ru = 0x5732'7275,  ///< Relative, UTF-16LE.
  kW2ku = 0x5732'6B75,  ///< Absolute, UTF-16LE.
  kMac = 0x4D61'6320,   ///< A Mac OS alias: opaque.
  kMacX = 0x4D61'6358,  ///< A file URL in UTF-8.
};
/// No text of a locator is read past this, whatever its length field says.
inline constexpr std::uint32_t kMostLocatorBytes = 64 * 1024;

/// VHD spec, "Dynamic Disk Header Format". There is no second copy.
struct DynamicHeader {
  Tag8 cookie;                                     // 0
  Be<std::uint64_t> data_offset;                   // 8: unused, all ones
  Be<std::uint64_t> table_offset;                  // 16: of the BAT
  Be<std::uint32_t> header_version;                // 24
  Be<std::uint32_t> max_table_entries;             // 28
  Be<std::uint32_t> block_size;                    // 32: without the sector bitmap
  Be<std::uint32_t> checksum;                      // 36
  std::array<std::uint8_t, 16> parent_unique_id;   // 40
  Be<std::uint32_t> parent_timestamp;              // 56
  Be<std::uint32_t> reserved1;                     // 60
  std::array<std::byte, 512> parent_unicode_name;  // 64: UTF-16BE
  std::array<LocatorEntry, 8> parent_locators;     // 576
  std::array<std::uint8_t, 256> reserved2;         // 768
};
static_assert(sizeof(DynamicHeader) == kHeaderBytes && alignof(DynamicHeader) == 1);
static_assert(offsetof(DynamicHeader, checksum) == 36 && offsetof(DynamicHeader, parent_unique_id) == 40 &&
              offsetof(DynamicHeader, parent_unicode_name) == 64 &&
              offsetof(DynamicHeader, parent_locators) == 576);

/// Xen's batmap header, in the first sector after the padded BAT (formats.md 1.17). Only ever described.
struct BatmapHeader {
  Tag8 cookie;                       // 0
  Be<std::uint64_t> batmap_offset;   // 8
  Be<std::uint32_t> batmap_sectors;  // 16
  Be<std::uint32_t> batmap_version;  // 20
  Be<std::uint32_t> checksum;        // 24
};
static_assert(sizeof(BatmapHeader) == 28);

/// VHD spec, "Checksum": the one's complement of the sum of all bytes, those of the field itself taken as
/// zero. `Struct` is Footer or DynamicHeader; its checksum field's value does not matter.
template <class Struct>
std::uint32_t checksum_of(Struct copy) noexcept {
  copy.checksum = 0;
  std::uint32_t sum = 0;
  for (const std::byte byte : bytes_of(copy)) sum += std::to_integer<std::uint32_t>(byte);
  return ~sum;
}

/// Bytes of a block's sector bitmap: one bit per sector, padded to whole sectors (VHD spec, "Data Blocks").
constexpr std::uint32_t bitmap_bytes_of(std::uint32_t block_bytes) noexcept {
  const std::uint32_t bytes = (block_bytes / kSectorBytes + 7) / 8;
  return (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
}

}  // namespace vdisk::vhd
