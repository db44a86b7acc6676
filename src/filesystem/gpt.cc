// SPDX-License-Identifier: Apache-2.0
#include "filesystem/gpt.h"

#include <isa-l/crc.h>

#include <algorithm>

#include "base/checked.h"
#include "base/fault.h"

namespace vdisk::filesystem {

namespace {

/// Our bound; 16 KiB is usual.
constexpr std::uint64_t kMostEntryBytes = kMiB;

std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  const auto raw = bytes.data();
  return crc32_gzip_refl(0, static_cast<const unsigned char*>(static_cast<const void*>(raw)), bytes.size());
}

std::uint32_t header_crc(std::vector<std::byte> sector, std::uint32_t header_size) {
  std::ranges::fill(std::span(sector).subspan(offsetof(GptHeader, header_crc), 4), std::byte{0});
  return crc32(std::span<const std::byte>(sector).first(header_size));
}

}  // namespace

Result<std::optional<GptCopy>> read_gpt_copy(const DiskReader& read, std::uint64_t disk_bytes,
                                             std::uint64_t sector_bytes, std::uint64_t sector) {
  const auto at = checked_multiply<std::uint64_t>(sector, sector_bytes);
  if (!at || !fits_within(*at, sector_bytes, disk_bytes)) return std::nullopt;
  GptCopy copy{.sector_bytes = sector_bytes, .header = std::vector<std::byte>(sector_bytes), .entries = {}};
  VDISK_TRY(read({*at}, copy.header));
  const GptHeader header = copy.fields();
  const std::uint32_t header_size = header.header_size;
  if (header.signature != kGptSignature || header_size < kGptHeaderBytes || header_size > sector_bytes ||
      header_crc(copy.header, header_size) != header.header_crc) {
    return std::nullopt;
  }
  const std::uint64_t entry_bytes = std::uint64_t{header.entry_count} * header.entry_size;
  const auto entries_at = checked_multiply<std::uint64_t>(header.entries_sector, sector_bytes);
  if (entry_bytes > kMostEntryBytes || !entries_at) return std::nullopt;
  const std::uint64_t stored = round_up(entry_bytes, sector_bytes);
  if (!fits_within(*entries_at, stored, disk_bytes)) return std::nullopt;
  copy.entries.resize(stored);
  VDISK_TRY(read({*entries_at}, copy.entries));
  if (crc32(std::span<const std::byte>(copy.entries).first(entry_bytes)) != header.entries_crc)
    return std::nullopt;
  return copy;
}

void seal_gpt_header(std::vector<std::byte>& sector, GptHeader header) {
  store(std::span(sector), header);
  header.header_crc = header_crc(sector, header.header_size);
  store(std::span(sector), header);
}

}  // namespace vdisk::filesystem
