// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/sector_bitmap.h"

#include <algorithm>
#include <bit>

#include "format/vhdx/faults.h"

namespace vdisk::vhdx {

namespace {

template <class WordAt>
BitRun scan_words(const WordAt& word_at, std::uint64_t from, std::uint64_t until) noexcept {
  std::uint64_t word = from / 64;
  // Bits below `from` leave at the right, so that the bit asked for is bit 0.
  std::uint64_t bits = word_at(word) >> (from % 64);
  const bool value = (bits & 1) != 0;
  if (value) bits = ~bits;  // From here on, the run goes on while bits are zero.
  std::uint64_t end =
      from + std::min<std::uint64_t>(static_cast<unsigned>(std::countr_zero(bits)), 64 - from % 64);
  while (end == (word + 1) * 64 && end < until) {
    ++word;
    bits = word_at(word);
    end += static_cast<unsigned>(std::countr_zero(value ? ~bits : bits));
  }
  return {value, std::min(end, until)};
}

/// Between the file's order of bytes and ours; its own inverse.
std::uint64_t from_stored(std::uint64_t word) noexcept {
  return std::bit_cast<Le<std::uint64_t>>(word).get();
}

}  // namespace

BitRun scan_bits(std::span<const std::byte> bytes, std::uint64_t from, std::uint64_t until) noexcept {
  const auto word_at = [&](std::uint64_t word) {
    return load<Le<std::uint64_t>>(bytes.subspan(word * 8)).get();
  };
  return scan_words(word_at, from, until);
}

SectorBitmaps::SectorBitmaps(File& file, Bat& bat, std::uint64_t most_bytes)
    : file_(file),
      bat_(bat),
      table_(bat.geometry().chunks * kPagesPerBitmap, most_bytes,
             [this](std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into) {
               return load_page(page_number, into);
             }) {}

Status SectorBitmaps::load_page(std::uint64_t page_number,
                                std::span<std::byte, PagedTable::kPageBytes> into) {
  const BatGeometry& geometry = bat_.geometry();
  const std::uint64_t chunk = page_number / kPagesPerBitmap;
  const BatEntry entry = VDISK_TRY(bat_.entry(geometry.bitmap_index(chunk)));
  if (!entry.bitmap_present()) {
    return fail(faults::kBitmapMissing,
                "{}: a block of chunk {} is partially present, but BAT entry {} says that its sector bitmap "
                "block is not",
                bat_.rules().file_name(), chunk, geometry.bitmap_index(chunk));
  }
  const std::uint64_t at = entry.file_offset() + page_number % kPagesPerBitmap * PagedTable::kPageBytes;
  VDISK_TRY_CONTEXT(read_zero_padded(file_, FileOffset{at}, into), "reading the sector bitmap of chunk {}",
                    chunk);
  return {};
}

Result<BitRun> SectorBitmaps::run(std::uint64_t sector, std::uint64_t until) {
  const PagedTable::Page* page = VDISK_TRY(table_.page(sector / kBitsPerPage));
  const std::uint64_t first = round_down(sector, kBitsPerPage);
  const std::uint64_t stop = std::min(until - first, kBitsPerPage);
  if (PagedTable::is_zero(page)) return BitRun{false, first + stop};
  const auto word_at = [&](std::uint64_t word) { return from_stored(PagedTable::load_word(*page, word)); };
  BitRun found = scan_words(word_at, sector - first, stop);
  found.end += first;
  return found;
}

void SectorBitmaps::set_bits(PagedTable::Page& page, std::uint64_t first, std::uint64_t count,
                             bool value) noexcept {
  const std::uint64_t end = first + count;
  while (first < end) {
    const std::uint64_t word = first / 64;
    const std::uint64_t bits = std::min<std::uint64_t>(end - first, 64 - first % 64);
    const std::uint64_t mask = (bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1)
                               << first % 64;
    const std::uint64_t before = from_stored(PagedTable::load_word(page, word));
    PagedTable::store_word(page, word, from_stored(value ? before | mask : before & ~mask));
    first += bits;
  }
}

Result<std::uint64_t> SectorBitmaps::page_offset(std::uint64_t page_number) {
  const std::uint64_t chunk = page_number / kPagesPerBitmap;
  const BatEntry entry = VDISK_TRY(bat_.entry(bat_.geometry().bitmap_index(chunk)));
  VDISK_ASSERT(entry.bitmap_present());
  return entry.file_offset() + page_number % kPagesPerBitmap * PagedTable::kPageBytes;
}

}  // namespace vdisk::vhdx
