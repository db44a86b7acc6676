// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/gpt.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>

#include "base/checked.h"
#include "base/endian.h"

namespace vdisk::ops {

namespace {

constexpr std::array<char, 8> kSignature = {'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};
/// Our bound; 16 KiB is usual.
constexpr std::uint64_t kMostEntryBytes = kMiB;
constexpr std::size_t kProtectiveSizeAt = 446 + 12;  // SizeInLBA of the protective MBR's first record
constexpr std::size_t kProtectiveTypeAt = 446 + 4;
constexpr std::byte kProtectiveType{0xEE};

/// UEFI specification, table 5.5.
struct HeaderLayout {
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
constexpr std::size_t kHeaderBytes = 92;
static_assert(offsetof(HeaderLayout, entries_crc) + 4 == kHeaderBytes);

std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  const auto raw = bytes.data();
  return crc32_gzip_refl(0, static_cast<const unsigned char*>(static_cast<const void*>(raw)), bytes.size());
}

std::uint32_t header_crc(std::vector<std::byte> sector, std::uint32_t header_size) {
  std::ranges::fill(std::span(sector).subspan(offsetof(HeaderLayout, header_crc), 4), std::byte{0});
  return crc32(std::span<const std::byte>(sector).first(header_size));
}

void seal(std::vector<std::byte>& sector, HeaderLayout header) {
  store(std::span(sector), header);
  header.header_crc = header_crc(sector, header.header_size);
  store(std::span(sector), header);
}

HeaderLayout header_of(const Gpt& gpt) { return load<HeaderLayout>(gpt.header); }

}  // namespace

Result<std::optional<Gpt>> read_gpt(const Disk& disk) {
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  // A disk image whose table was made for 4 KiB sectors lies in 512-byte ones too, and the other way round.
  for (const std::uint64_t sector_bytes : {std::uint64_t{512}, std::uint64_t{4096}}) {
    if (size < 4 * sector_bytes) break;
    Gpt gpt{.sector_bytes = sector_bytes, .backup_sector = 0, .header = {}, .entries = {}};
    gpt.header.resize(sector_bytes);
    VDISK_TRY(disk.read({sector_bytes}, gpt.header));
    const HeaderLayout header = header_of(gpt);
    const std::uint32_t header_size = header.header_size;
    if (header.signature != kSignature || header_size < kHeaderBytes || header_size > sector_bytes ||
        header_crc(gpt.header, header_size) != header.header_crc) {
      continue;
    }
    const std::uint64_t entry_bytes = std::uint64_t{header.entry_count} * header.entry_size;
    const auto entries_at = checked_multiply<std::uint64_t>(header.entries_sector, sector_bytes);
    const std::uint64_t stored = round_up(entry_bytes, sector_bytes);
    if (entry_bytes > kMostEntryBytes || !entries_at || !fits_within(*entries_at, stored, size)) continue;
    gpt.entries.resize(stored);
    VDISK_TRY(disk.read({*entries_at}, gpt.entries));
    if (crc32(std::span<const std::byte>(gpt.entries).first(entry_bytes)) != header.entries_crc) continue;
    gpt.backup_sector = header.alternate_sector;
    return gpt;
  }
  return std::nullopt;
}

Result<std::vector<Patch>> move_backup_gpt(const Disk& disk, const Gpt& gpt, std::uint64_t size) {
  const std::uint64_t sector = gpt.sector_bytes;
  const std::uint64_t last = size / sector - 1;
  const std::uint64_t entries_sector = last - gpt.entries.size() / sector;
  std::vector<Patch> patches;

  // The protective MBR names the disk's size, or all ones where 32 bits do not hold it (UEFI 5.2.3).
  Patch mbr{.at = {0}, .bytes = std::vector<std::byte>(512)};
  VDISK_TRY(disk.read({0}, mbr.bytes));
  if (mbr.bytes[kProtectiveTypeAt] == kProtectiveType) {
    const auto sectors = std::min<std::uint64_t>(last, std::numeric_limits<std::uint32_t>::max());
    store(std::span(mbr.bytes).subspan(kProtectiveSizeAt),
          Le<std::uint32_t>(static_cast<std::uint32_t>(sectors)));
    patches.push_back(std::move(mbr));
  }
  HeaderLayout header = header_of(gpt);
  const std::uint64_t primary_entries = header.entries_sector;
  header.alternate_sector = last;
  header.last_usable_sector = entries_sector - 1;
  Patch primary{.at = {sector}, .bytes = gpt.header};
  seal(primary.bytes, header);
  patches.push_back(std::move(primary));

  // The old backup would be found by tools that search; what it was is free space now.
  const std::uint64_t old_last = disk.geometry().virtual_size_bytes / sector - 1;
  if (gpt.backup_sector == old_last && old_last < entries_sector && old_last > primary_entries) {
    patches.push_back({.at = {old_last * sector}, .bytes = std::vector<std::byte>(sector)});
  }
  header.my_sector = last;
  header.alternate_sector = std::uint64_t{1};
  header.entries_sector = entries_sector;
  Patch backup{.at = {entries_sector * sector}, .bytes = gpt.entries};
  std::vector<std::byte> backup_header = gpt.header;
  seal(backup_header, header);
  backup.bytes.insert(backup.bytes.end(), backup_header.begin(), backup_header.end());
  patches.push_back(std::move(backup));
  return patches;
}

}  // namespace vdisk::ops
