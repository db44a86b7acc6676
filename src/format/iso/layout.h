// SPDX-License-Identifier: Apache-2.0
//
// What lies on a disc: the volume descriptors of ISO 9660 (ECMA-119 8), High Sierra and Joliet, and the
// structures of UDF (ECMA-167 part 2 for the recognition sequence, part 3 for the rest) that recognition and
// `info` need.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace vdisk::iso {

inline constexpr std::uint64_t kSectorBytes = 2048;
inline constexpr std::uint64_t kSystemAreaBytes = 16 * kSectorBytes;
/// System area and one descriptor: the least that OpenVirtualDisk accepts (virtdisk-api.md 7, T19).
inline constexpr std::uint64_t kLeastBytes = kSystemAreaBytes + kSectorBytes;

using Text5 = std::array<char, 5>;

/// A number stored twice, little-endian and big-endian (ECMA-119 7.3.3). Readers use the little-endian half.
struct BothEndian32 {
  Le<std::uint32_t> le;
  Be<std::uint32_t> be;
};
struct BothEndian16 {
  Le<std::uint16_t> le;
  Be<std::uint16_t> be;
};

enum class VolumeType : std::uint8_t {
  kBoot = 0,
  kPrimary = 1,
  kSupplementary = 2,
  kPartition = 3,
  kTerminator = 255,
};

/// ECMA-119 8.4 and 8.5, up to the application identifier. Also the head of every other descriptor with
/// CD001.
struct IsoDescriptor {
  std::uint8_t type;
  Text5 identifier;  // "CD001"
  std::uint8_t version;
  std::uint8_t flags;
  std::array<std::byte, 32> system_id;  // a boot record's boot system identifier begins one byte earlier
  std::array<std::byte, 32> volume_id;
  std::array<std::byte, 8> unused1;
  BothEndian32 volume_space_blocks;
  std::array<std::byte, 32> escape_sequences;
  BothEndian16 set_size;
  BothEndian16 sequence_number;
  BothEndian16 logical_block_bytes;
  BothEndian32 path_table_bytes;
  std::array<std::byte, 16> path_tables;
  std::array<std::byte, 34> root_directory;
  std::array<std::byte, 128> volume_set_id;
  std::array<std::byte, 128> publisher_id;
  std::array<std::byte, 128> preparer_id;
  std::array<std::byte, 128> application_id;
};
static_assert(sizeof(IsoDescriptor) == 702 && alignof(IsoDescriptor) == 1);
static_assert(offsetof(IsoDescriptor, volume_space_blocks) == 80 &&
              offsetof(IsoDescriptor, escape_sequences) == 88);
static_assert(offsetof(IsoDescriptor, logical_block_bytes) == 128 &&
              offsetof(IsoDescriptor, application_id) == 574);

/// El Torito 1.0, figure 7.
struct BootRecord {
  std::uint8_t type;
  Text5 identifier;
  std::uint8_t version;
  std::array<char, 32> boot_system_id;
};
static_assert(sizeof(BootRecord) == 39);

/// High Sierra: everything lies eight bytes further, after the block number (formats.md 4.3).
struct HighSierraDescriptor {
  BothEndian32 block_number;
  std::uint8_t type;
  Text5 identifier;  // "CDROM"
  std::uint8_t version;
  std::uint8_t reserved;
  std::array<std::byte, 32> system_id;
  std::array<std::byte, 32> volume_id;
  std::array<std::byte, 8> unused1;
  BothEndian32 volume_space_blocks;
  std::array<std::byte, 32> escape_sequences;
  BothEndian16 set_size;
  BothEndian16 sequence_number;
  BothEndian16 logical_block_bytes;
};
static_assert(sizeof(HighSierraDescriptor) == 140 &&
              offsetof(HighSierraDescriptor, volume_space_blocks) == 88);

/// ECMA-167 3/7.2.
struct UdfTag {
  Le<std::uint16_t> id;
  Le<std::uint16_t> version;
  std::uint8_t checksum;  // sum of the other fifteen bytes
  std::uint8_t reserved;
  Le<std::uint16_t> serial;
  Le<std::uint16_t> crc;  // CRC-16 (0x1021) of crc_length bytes after the tag
  Le<std::uint16_t> crc_length;
  Le<std::uint32_t> location;  // its own block number
};
static_assert(sizeof(UdfTag) == 16 && alignof(UdfTag) == 1);

inline constexpr std::uint16_t kUdfPrimaryVolume = 1;
inline constexpr std::uint16_t kUdfAnchor = 2;
inline constexpr std::uint16_t kUdfPartition = 5;
inline constexpr std::uint16_t kUdfLogicalVolume = 6;
inline constexpr std::uint16_t kUdfTerminating = 8;

struct UdfExtent {
  Le<std::uint32_t> length_bytes;
  Le<std::uint32_t> location;
};

/// ECMA-167 3/10.2.
struct UdfAnchor {
  UdfTag tag;
  UdfExtent main_sequence;
  UdfExtent reserve_sequence;
};
static_assert(sizeof(UdfAnchor) == 32);

/// ECMA-167 3/10.5, up to what we use.
struct UdfPartitionDescriptor {
  UdfTag tag;
  Le<std::uint32_t> sequence_number;
  std::array<std::byte, 168> skipped;
  Le<std::uint32_t> start_block;
  Le<std::uint32_t> length_blocks;
};
static_assert(offsetof(UdfPartitionDescriptor, start_block) == 188 && sizeof(UdfPartitionDescriptor) == 196);

/// ECMA-167 3/10.6, up to what we use; the domain's suffix holds the UDF revision (UDF 2.60, 2.1.5.3).
struct UdfLogicalVolume {
  UdfTag tag;
  Le<std::uint32_t> sequence_number;
  std::array<std::byte, 64> character_set;
  std::array<std::byte, 128> volume_id;  // dstring
  Le<std::uint32_t> logical_block_bytes;
  std::uint8_t domain_flags;
  std::array<char, 23> domain_id;  // "*OSTA UDF Compliant"
  Le<std::uint16_t> udf_revision;  // BCD: 0x0201 is 2.01
};
static_assert(offsetof(UdfLogicalVolume, volume_id) == 84 &&
              offsetof(UdfLogicalVolume, logical_block_bytes) == 212);
static_assert(offsetof(UdfLogicalVolume, udf_revision) == 240 && sizeof(UdfLogicalVolume) == 242);

}  // namespace vdisk::iso
