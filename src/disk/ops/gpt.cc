// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/gpt.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

#include "base/checked.h"
#include "base/endian.h"

namespace vdisk::ops {

namespace {

constexpr std::size_t kProtectiveSizeAt = 446 + 12;  // SizeInLBA of the protective MBR's first record
constexpr std::size_t kProtectiveTypeAt = 446 + 4;
constexpr std::byte kProtectiveType{0xEE};

}  // namespace

Result<std::optional<Gpt>> read_gpt(const Disk& disk) {
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  const auto read = [&disk](DiskOffset at, std::span<std::byte> into) { return disk.read(at, into); };
  // A disk image whose table was made for 4 KiB sectors lies in 512-byte ones too, and the other way round.
  for (const std::uint64_t sector_bytes : {std::uint64_t{512}, std::uint64_t{4096}}) {
    if (size < 4 * sector_bytes) break;
    auto gpt = VDISK_TRY(filesystem::read_gpt_copy(read, size, sector_bytes, 1));
    if (gpt) return gpt;
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
  filesystem::GptHeader header = gpt.fields();
  const std::uint64_t primary_entries = header.entries_sector;
  const std::uint64_t backup_sector = header.alternate_sector;
  header.alternate_sector = last;
  header.last_usable_sector = entries_sector - 1;
  Patch primary{.at = {sector}, .bytes = gpt.header};
  filesystem::seal_gpt_header(primary.bytes, header);
  patches.push_back(std::move(primary));

  // The old backup would be found by tools that search; what it was is free space now.
  const std::uint64_t old_last = disk.geometry().virtual_size_bytes / sector - 1;
  if (backup_sector == old_last && old_last < entries_sector && old_last > primary_entries) {
    patches.push_back({.at = {old_last * sector}, .bytes = std::vector<std::byte>(sector)});
  }
  header.my_sector = last;
  header.alternate_sector = std::uint64_t{1};
  header.entries_sector = entries_sector;
  Patch backup{.at = {entries_sector * sector}, .bytes = gpt.entries};
  std::vector<std::byte> backup_header = gpt.header;
  filesystem::seal_gpt_header(backup_header, header);
  backup.bytes.insert(backup.bytes.end(), backup_header.begin(), backup_header.end());
  patches.push_back(std::move(backup));
  return patches;
}

}  // namespace vdisk::ops
