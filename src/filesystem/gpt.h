// SPDX-License-Identifier: Apache-2.0
//
// The GUID partition table (UEFI specification 2.10, 5.3): its layout, and one copy of it read from a disk.
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/endian.h"

namespace vdisk::filesystem {

/// Reads exactly `into.size()` bytes of a disk at `at`.
using DiskReader = std::function<Status(DiskOffset at, std::span<std::byte> into)>;

inline constexpr std::array<char, 8> kGptSignature = {'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};

/// UEFI specification, table 5.5.
struct GptHeader {
  std::array<char, 8> signature;
  Le<std::uint32_t> revision;
  Le<std::uint32_t> header_size;
  Le<std::uint32_t> header_crc;
  Le<std::uint32_t> reserved;
  Le<std::uint64_t> my_sector;
  Le<std::uint64_t> alternate_sector;
  Le<std::uint64_t> first_usable_sector;
  Le<std::uint64_t> last_usable_sector;
  Guid disk_guid;
  Le<std::uint64_t> entries_sector;
  Le<std::uint32_t> entry_count;
  Le<std::uint32_t> entry_size;
  Le<std::uint32_t> entries_crc;
};
inline constexpr std::size_t kGptHeaderBytes = 92;
static_assert(offsetof(GptHeader, entries_crc) + 4 == kGptHeaderBytes);

/// UEFI specification, table 5.6.
struct GptEntry {
  Guid type;  ///< Zero: the entry is unused.
  Guid unique;
  Le<std::uint64_t> first_sector;
  Le<std::uint64_t> last_sector;  ///< The last one that belongs to the partition.
  Le<std::uint64_t> attributes;
  std::array<std::byte, 72> name;  ///< UTF-16LE, ended by a zero if shorter.
};
static_assert(sizeof(GptEntry) == 128);

/// One copy of a table whose checksums are right.
struct GptCopy {
  std::uint64_t sector_bytes = 0;
  std::vector<std::byte> header;   ///< Its whole sector.
  std::vector<std::byte> entries;  ///< All partition entries, in whole sectors.

  GptHeader fields() const { return load<GptHeader>(header); }
};

/// The copy whose header is in `sector` of a disk of `disk_bytes`; unset when there is none, when a checksum
/// is wrong, or when its entries would take more than a mebibyte. Fails only as `read` does.
Result<std::optional<GptCopy>> read_gpt_copy(const DiskReader& read, std::uint64_t disk_bytes,
                                             std::uint64_t sector_bytes, std::uint64_t sector);

/// Writes `header` into `sector` with the checksum that it then has.
void seal_gpt_header(std::vector<std::byte>& sector, GptHeader header);

}  // namespace vdisk::filesystem
