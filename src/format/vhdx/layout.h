// SPDX-License-Identifier: Apache-2.0
//
// Everything that a VHDX file holds on disk: places, GUIDs and layout structs, as MS-VHDX (v6.0) and
// formats.md 2 give them. All integers are little-endian; GUIDs lie in Windows' mixed-endian order, which is
// Guid's own.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/checked.h"
#include "base/endian.h"

namespace vdisk::vhdx {

// --- The file map (MS-VHDX 2.1, formats.md 2.1) ---

/// Regions, the log and payload blocks are aligned to this and are multiples of it.
inline constexpr std::uint64_t kAlignment = kMiB;
inline constexpr std::uint64_t kIdentifierAt = 0;
inline constexpr std::array<std::uint64_t, 2> kHeaderAt = {64 * kKiB, 128 * kKiB};
inline constexpr std::array<std::uint64_t, 2> kRegionTableAt = {192 * kKiB, 256 * kKiB};
/// Where the header section ends and regions may begin.
inline constexpr std::uint64_t kHeaderSectionBytes = kMiB;

template <std::size_t kLength>
using Signature = std::array<char, kLength>;

// --- File type identifier (MS-VHDX 2.2.1, formats.md 2.2) ---

inline constexpr Signature<8> kIdentifierSignature = {'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'};

struct IdentifierLayout {
  Signature<8> signature;
  std::array<std::byte, 512> creator;  ///< UTF-16LE, NUL terminated unless it fills the field.
};
static_assert(sizeof(IdentifierLayout) == 520 && offsetof(IdentifierLayout, creator) == 8);

// --- Header (MS-VHDX 2.2.2, formats.md 2.3) ---

inline constexpr Signature<4> kHeaderSignature = {'h', 'e', 'a', 'd'};
inline constexpr std::size_t kHeaderBytes = 4096;
inline constexpr std::size_t kHeaderChecksumAt = 4;
inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::uint16_t kLogVersion = 0;

struct HeaderLayout {
  Signature<4> signature;
  Le<std::uint32_t> checksum;  ///< CRC-32C of the 4096 bytes, this field counted as zero.
  Le<std::uint64_t> sequence_number;
  Guid file_write_guid;
  Guid data_write_guid;
  Guid log_guid;
  Le<std::uint16_t> log_version;
  Le<std::uint16_t> version;
  Le<std::uint32_t> log_length;
  Le<std::uint64_t> log_offset;
  std::array<std::byte, 4016> reserved;
};
static_assert(sizeof(HeaderLayout) == kHeaderBytes && offsetof(HeaderLayout, checksum) == kHeaderChecksumAt);
static_assert(offsetof(HeaderLayout, log_guid) == 48 && offsetof(HeaderLayout, log_version) == 64);
static_assert(offsetof(HeaderLayout, log_length) == 68 && offsetof(HeaderLayout, log_offset) == 72);
static_assert(offsetof(HeaderLayout, reserved) == 80);

// --- Region table (MS-VHDX 2.2.3, formats.md 2.4) ---

inline constexpr Signature<4> kRegionTableSignature = {'r', 'e', 'g', 'i'};
inline constexpr std::size_t kRegionTableBytes = 64 * kKiB;
inline constexpr std::size_t kRegionTableChecksumAt = 4;
inline constexpr std::size_t kMostRegions = 2047;
inline constexpr std::uint32_t kRegionRequired = 1;

struct RegionTableHeaderLayout {
  Signature<4> signature;
  Le<std::uint32_t> checksum;  ///< CRC-32C of the 64 KiB, this field counted as zero.
  Le<std::uint32_t> entry_count;
  Le<std::uint32_t> reserved;
};
static_assert(sizeof(RegionTableHeaderLayout) == 16);

struct RegionEntryLayout {
  Guid guid;
  Le<std::uint64_t> file_offset;
  Le<std::uint32_t> length;
  Le<std::uint32_t> flags;
};
static_assert(sizeof(RegionEntryLayout) == 32 && offsetof(RegionEntryLayout, length) == 24);

// --- Log (MS-VHDX 2.3, formats.md 2.7) ---

inline constexpr Signature<4> kLogEntrySignature = {'l', 'o', 'g', 'e'};
inline constexpr Signature<4> kZeroDescriptorSignature = {'z', 'e', 'r', 'o'};
inline constexpr Signature<4> kDataDescriptorSignature = {'d', 'e', 's', 'c'};
inline constexpr Signature<4> kDataSectorSignature = {'d', 'a', 't', 'a'};
inline constexpr std::size_t kLogSectorBytes = 4096;
inline constexpr std::size_t kLogEntryChecksumAt = 4;

struct LogEntryHeaderLayout {
  Signature<4> signature;
  Le<std::uint32_t> checksum;  ///< CRC-32C of the entry's `entry_length` bytes, this field counted as zero.
  Le<std::uint32_t> entry_length;
  Le<std::uint32_t> tail;
  Le<std::uint64_t> sequence_number;
  Le<std::uint32_t> descriptor_count;
  Le<std::uint32_t> reserved;
  Guid log_guid;
  Le<std::uint64_t> flushed_file_offset;
  Le<std::uint64_t> last_file_offset;
};
static_assert(sizeof(LogEntryHeaderLayout) == 64 && offsetof(LogEntryHeaderLayout, sequence_number) == 16);
static_assert(offsetof(LogEntryHeaderLayout, log_guid) == 32);
static_assert(offsetof(LogEntryHeaderLayout, last_file_offset) == 56);

struct LogZeroDescriptorLayout {
  Signature<4> signature;
  Le<std::uint32_t> reserved;
  Le<std::uint64_t> zero_length;
  Le<std::uint64_t> file_offset;
  Le<std::uint64_t> sequence_number;
};
static_assert(sizeof(LogZeroDescriptorLayout) == 32);

struct LogDataDescriptorLayout {
  Signature<4> signature;
  std::array<std::byte, 4> trailing_bytes;  ///< The last 4 bytes of the page.
  std::array<std::byte, 8> leading_bytes;   ///< The first 8 bytes of the page.
  Le<std::uint64_t> file_offset;
  Le<std::uint64_t> sequence_number;
};
static_assert(sizeof(LogDataDescriptorLayout) == 32 && offsetof(LogDataDescriptorLayout, file_offset) == 16);

inline constexpr std::size_t kLogDescriptorBytes = 32;
/// Descriptors in an entry's first sector (behind the header), and in each further descriptor sector.
inline constexpr std::size_t kDescriptorsInFirstSector = 126;
inline constexpr std::size_t kDescriptorsPerSector = 128;

struct LogDataSectorLayout {
  Signature<4> signature;
  Le<std::uint32_t> sequence_high;
  std::array<std::byte, 4084> data;  ///< Bytes 8 to 4091 of the page.
  Le<std::uint32_t> sequence_low;
};
static_assert(sizeof(LogDataSectorLayout) == kLogSectorBytes &&
              offsetof(LogDataSectorLayout, sequence_low) == 4092);

// --- Metadata region (MS-VHDX 2.6, formats.md 2.10) ---

inline constexpr Signature<8> kMetadataSignature = {'m', 'e', 't', 'a', 'd', 'a', 't', 'a'};
inline constexpr std::size_t kMetadataTableBytes = 64 * kKiB;
inline constexpr std::size_t kMostMetadataEntries = 2047;
inline constexpr std::size_t kMostUserMetadataEntries = 1024;
inline constexpr std::uint32_t kMostItemBytes = kMiB;
inline constexpr std::uint32_t kItemIsUser = 1;
inline constexpr std::uint32_t kItemIsVirtualDisk = 2;
inline constexpr std::uint32_t kItemIsRequired = 4;
inline constexpr std::uint32_t kItemFlags = kItemIsUser | kItemIsVirtualDisk | kItemIsRequired;

struct MetadataTableHeaderLayout {
  Signature<8> signature;
  Le<std::uint16_t> reserved;
  Le<std::uint16_t> entry_count;
  std::array<std::byte, 20> reserved2;
};
static_assert(sizeof(MetadataTableHeaderLayout) == 32);

struct MetadataEntryLayout {
  Guid item_id;
  Le<std::uint32_t> offset;  ///< From the region's beginning.
  Le<std::uint32_t> length;
  Le<std::uint32_t> flags;
  Le<std::uint32_t> reserved;
};
static_assert(sizeof(MetadataEntryLayout) == 32 && offsetof(MetadataEntryLayout, flags) == 24);

struct FileParametersLayout {
  Le<std::uint32_t> block_size;
  Le<std::uint32_t> flags;
};
static_assert(sizeof(FileParametersLayout) == 8);
inline constexpr std::uint32_t kLeaveBlockAllocated = 1;
inline constexpr std::uint32_t kHasParent = 2;

/// Our bound on a parent locator (formats.md 6 no. 77); genuine ones have about a kilobyte.
inline constexpr std::uint32_t kMostLocatorBytes = 64 * kKiB;

struct ParentLocatorHeaderLayout {
  Guid locator_type;
  Le<std::uint16_t> reserved;
  Le<std::uint16_t> key_value_count;
};
static_assert(sizeof(ParentLocatorHeaderLayout) == 20);

struct ParentLocatorEntryLayout {
  Le<std::uint32_t> key_offset;  ///< From the item's beginning.
  Le<std::uint32_t> value_offset;
  Le<std::uint16_t> key_length;  ///< Bytes of UTF-16LE, no NUL.
  Le<std::uint16_t> value_length;
};
static_assert(sizeof(ParentLocatorEntryLayout) == 12);

// --- Limits of the virtual disk (MS-VHDX 2.6.2, formats.md 2.11) ---

inline constexpr std::uint32_t kLeastBlockBytes = kMiB;
inline constexpr std::uint32_t kMostBlockBytes = 256 * kMiB;
inline constexpr std::uint64_t kMostDiskBytes = 64 * kTiB;

// --- BAT and sector bitmaps (MS-VHDX 2.5 and 2.4, formats.md 2.8 and 2.9) ---

inline constexpr std::uint64_t kBatEntryBytes = 8;
inline constexpr std::uint64_t kBatStateMask = 7;
inline constexpr std::uint64_t kBatReservedMask = 0xFFFF8;
inline constexpr std::uint64_t kBatOffsetMask = ~std::uint64_t{0xFFFFF};  ///< FileOffsetMB, kept in bytes.
/// Sectors that one sector bitmap block of 1 MiB describes: 2^23.
inline constexpr std::uint64_t kSectorsPerChunk = std::uint64_t{1} << 23;
inline constexpr std::uint64_t kBitmapBlockBytes = kMiB;

enum class PayloadState : std::uint8_t {
  kNotPresent = 0,
  kUndefined = 1,
  kZero = 2,
  kUnmapped = 3,
  kFullyPresent = 6,
  kPartiallyPresent = 7,
};
enum class BitmapState : std::uint8_t { kNotPresent = 0, kPresent = 6 };

// --- GUIDs (formats.md 2.5), in their bytes on disk ---

inline constexpr Guid kBatRegion{
    {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08}};
inline constexpr Guid kMetadataRegion{
    {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}};
inline constexpr Guid kFileParametersItem{
    {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b}};
inline constexpr Guid kVirtualDiskSizeItem{
    {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8}};
inline constexpr Guid kVirtualDiskIdItem{
    {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46}};
inline constexpr Guid kLogicalSectorSizeItem{
    {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f}};
inline constexpr Guid kPhysicalSectorSizeItem{
    {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56}};
inline constexpr Guid kParentLocatorItem{
    {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c}};
inline constexpr Guid kVhdxLocatorType{
    {0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13}};
/// Not in MS-VHDX: Windows sets it while it creates a file and removes it at the end (formats.md 2.10).
inline constexpr Guid kIncompleteFileItem{
    {0xf0, 0x85, 0xcc, 0x71, 0x69, 0x1b, 0x28, 0x4e, 0x95, 0x58, 0xc3, 0xbf, 0x83, 0xae, 0x75, 0xd3}};

}  // namespace vdisk::vhdx
