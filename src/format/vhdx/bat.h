// SPDX-License-Identifier: Apache-2.0
//
// The block allocation table (MS-VHDX 2.5, formats.md 2.8): how many entries it has and which entry is whose,
// what a legal entry is, and the table itself, paged in on demand.
#pragma once

#include <vdisk/control.h>
#include <vdisk/types.h>

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/checked.h"
#include "base/endian.h"
#include "base/fault.h"
#include "format/paged_table.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/region.h"
#include "io/file.h"

namespace vdisk::vhdx {

/// The numbers that follow from size, block size, sector size and type. Every quotient is a power of two.
struct BatGeometry {
  std::uint64_t disk_bytes = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t sector_bytes = 0;
  bool differencing = false;
  unsigned block_shift = 0;
  unsigned sector_shift = 0;
  unsigned ratio_shift =
      0;  ///< log2 of the chunk ratio: payload blocks that one sector bitmap block describes.
  std::uint64_t payload_blocks = 0;
  std::uint64_t chunks = 0;
  /// Fixed and dynamic disks leave the last bitmap entry out; differencing ones have whole chunks (v6.0's
  /// formulas; v8.0's transcription is wrong, formats.md 2.14).
  std::uint64_t entry_count = 0;

  /// REQUIRES: values that the metadata reader let pass.
  static BatGeometry of(std::uint64_t disk_bytes, std::uint32_t block_bytes, std::uint32_t sector_bytes,
                        bool differencing) noexcept;

  std::uint64_t chunk_ratio() const noexcept { return std::uint64_t{1} << ratio_shift; }
  std::uint64_t payload_index(std::uint64_t block) const noexcept { return block + (block >> ratio_shift); }
  std::uint64_t bitmap_index(std::uint64_t chunk) const noexcept {
    return chunk * (chunk_ratio() + 1) + chunk_ratio();
  }
  std::uint64_t chunk_of_index(std::uint64_t index) const noexcept { return index / (chunk_ratio() + 1); }
  bool is_bitmap_index(std::uint64_t index) const noexcept {
    return index % (chunk_ratio() + 1) == chunk_ratio();
  }
  /// The first payload block whose entry is at `index` or behind it.
  std::uint64_t block_from_index(std::uint64_t index) const noexcept { return index - chunk_of_index(index); }
};

/// One entry, as stored.
struct BatEntry {
  std::uint64_t raw = 0;
  unsigned state() const noexcept { return static_cast<unsigned>(raw & kBatStateMask); }
  PayloadState payload_state() const noexcept { return static_cast<PayloadState>(state()); }
  bool bitmap_present() const noexcept { return state() == static_cast<unsigned>(BitmapState::kPresent); }
  std::uint64_t file_offset() const noexcept { return raw & kBatOffsetMask; }
  /// Of a payload entry: the states whose offset names a block that is read.
  bool has_payload() const noexcept { return state() >= static_cast<unsigned>(PayloadState::kFullyPresent); }
};

/// What an entry may say in this file.
class BatRules {
 public:
  BatRules(const BatGeometry& geometry, OccupiedSpace occupied, std::uint64_t file_bytes,
           std::string file_name);

  const BatGeometry& geometry() const noexcept { return geometry_; }
  /// Judges one entry on its own (vhdx.bat.state, vhdx.bat.place).
  Status judge(std::uint64_t index, BatEntry entry) const;
  /// Bytes of the file that an entry's block takes; 0 if it names none that is read.
  std::uint64_t space_of(std::uint64_t index, BatEntry entry) const noexcept;
  /// True when a block may lie there: inside the file and upon nothing else.
  bool place_is_free(std::uint64_t at, std::uint64_t length) const noexcept;
  const std::string& file_name() const noexcept { return file_name_; }
  const OccupiedSpace& occupied() const noexcept { return occupied_; }

 private:
  Status judge_place(std::uint64_t index, BatEntry entry, std::uint64_t length) const;

  BatGeometry geometry_;
  OccupiedSpace occupied_;
  std::uint64_t rounded_file_bytes_;
  std::string file_name_;
};

/// "block 17" or "sector bitmap of chunk 3": what the entry at `index` is for.
std::string describe_entry(const BatGeometry& geometry, std::uint64_t index);

/// Reads every entry that is not zero, in order, from the data extents alone, and passes it on; ends early
/// when `visit` fails. `before_piece` (may be empty) is called now and then with the number of bytes already
/// behind.
Status scan_bat(File& file, const Region& bat, const BatGeometry& geometry,
                const std::function<Status(std::uint64_t index, BatEntry entry)>& visit,
                const std::function<Status(std::uint64_t done_bytes)>& before_piece = {});

/// Follows the entries of a scan and fails when a partially present block's chunk has no bitmap (formats.md 6
/// no. 60).
class PartialBlockWatch {
 public:
  PartialBlockWatch(const BatGeometry& geometry, std::string file_name)
      : geometry_(geometry), file_name_(std::move(file_name)) {}
  Status visit(std::uint64_t index, BatEntry entry);
  /// After the last entry.
  Status finish();

 private:
  const BatGeometry& geometry_;
  std::string file_name_;
  std::optional<std::uint64_t> waiting_;  ///< The first partial block of the chunk at hand.
};

/// Tables up to this are judged whole at open, overlaps included; larger ones page by page as they are used,
/// and whole by check (DESIGN 6).
inline constexpr std::uint64_t kJudgedAtOpenBytes = kMiB;
/// The whole judgement of such a small table.
Status judge_small_bat(File& file, const Region& bat, const BatRules& rules);

/// The table, paged. Thread rule: any number of threads.
class Bat {
 public:
  /// `file` outlives the table.
  Bat(File& file, const Region& region, BatRules rules, std::uint64_t most_bytes);

  const BatRules& rules() const noexcept { return rules_; }
  const BatGeometry& geometry() const noexcept { return rules_.geometry(); }
  static constexpr std::uint64_t kEntriesPerPage = PagedTable::kPageBytes / kBatEntryBytes;

  Result<const PagedTable::Page*> page_of(std::uint64_t index) {
    return table_.page(index / kEntriesPerPage);
  }
  static BatEntry entry_in(const PagedTable::Page& page, std::uint64_t index) noexcept {
    return {from_stored(PagedTable::load_word(page, index % kEntriesPerPage))};
  }
  Result<BatEntry> entry(std::uint64_t index) { return entry_in(*VDISK_TRY(page_of(index)), index); }

  // Writing, in memory alone. REQUIRES: one caller at a time.
  Result<PagedTable::Page*> writable_page_of(std::uint64_t index) {
    return table_.writable_page(index / kEntriesPerPage);
  }
  static void store_entry(PagedTable::Page& page, std::uint64_t index, BatEntry entry) noexcept {
    PagedTable::store_word(page, index % kEntriesPerPage, from_stored(entry.raw));
  }
  std::uint64_t page_offset(std::uint64_t page_number) const noexcept {
    return at_ + page_number * PagedTable::kPageBytes;
  }

  /// The first index behind the page of `index` that may not be zero: passes over holes of the file without
  /// loading their pages, but not over pages that hold something in memory. One question to the file.
  Result<std::uint64_t> next_used_index(std::uint64_t index);

 private:
  Status load_page(std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into);
  /// Between the file's order of bytes and ours; its own inverse.
  static std::uint64_t from_stored(std::uint64_t word) noexcept {
    return std::bit_cast<Le<std::uint64_t>>(word).get();
  }

  File& file_;
  const std::uint64_t at_;
  const std::uint64_t table_bytes_;
  const BatRules rules_;
  PagedTable table_;
};

}  // namespace vdisk::vhdx
