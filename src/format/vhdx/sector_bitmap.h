// SPDX-License-Identifier: Apache-2.0
//
// The sector bitmaps of a differencing disk (MS-VHDX 2.4.2, formats.md 2.9): for a partially present block,
// which sectors are in this file and which in the parent. One block of 1 MiB for each chunk, least
// significant bit first.
#pragma once

#include <cstdint>
#include <span>

#include "format/paged_table.h"
#include "format/vhdx/bat.h"
#include "io/file.h"

namespace vdisk::vhdx {

/// How far the bits from `from` on are equal: [from, end) all have `value`. REQUIRES: from < until <= bits in
/// `bytes`, whose length is a multiple of 8.
struct BitRun {
  bool value;
  std::uint64_t end;
};
BitRun scan_bits(std::span<const std::byte> bytes, std::uint64_t from, std::uint64_t until) noexcept;

class SectorBitmaps {
 public:
  /// `file` and `bat` outlive the bitmaps.
  SectorBitmaps(File& file, Bat& bat, std::uint64_t most_bytes);

  static constexpr std::uint64_t kBitsPerPage = PagedTable::kPageBytes * 8;

  /// The state of the sector `sector` of the disk, and the first sector behind it that differs, lies in
  /// another page, or is `until`. The end is a sector of the disk.
  Result<BitRun> run(std::uint64_t sector, std::uint64_t until);

  // Writing, in memory alone. REQUIRES: one caller at a time; the chunk's bitmap block is present in the BAT.
  Result<PagedTable::Page*> writable_page(std::uint64_t page_number) {
    return table_.writable_page(page_number);
  }
  /// Sets or clears bits [first, first + count) of one page.
  static void set_bits(PagedTable::Page& page, std::uint64_t first, std::uint64_t count, bool value) noexcept;
  /// Where the page lies in the file.
  Result<std::uint64_t> page_offset(std::uint64_t page_number);

 private:
  static constexpr std::uint64_t kPagesPerBitmap = kBitmapBlockBytes / PagedTable::kPageBytes;
  Status load_page(std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into);

  File& file_;
  Bat& bat_;
  PagedTable table_;
};

}  // namespace vdisk::vhdx
