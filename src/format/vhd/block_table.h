// SPDX-License-Identifier: Apache-2.0
//
// The block allocation table of an open VHD: where each block lies. Every entry that is handed out was
// validated.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "format/paged_table.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

/// What is wrong with one entry of the table.
enum class EntryFlaw {
  kNone,
  kRange,      ///< The block reaches past the limit.
  kMetadata,   ///< The block lies over something else; `what` says what.
  kShortTail,  ///< The last block lacks only bytes past the disk's end (formats.md 6, case 15): readable.
};
struct EntryVerdict {
  EntryFlaw flaw = EntryFlaw::kNone;
  std::string_view what;
};
/// Judges `sector`, the table's entry of `block`, on its own. REQUIRES: it is not kUnallocated.
EntryVerdict judge_entry(const Parsed& parsed, std::uint64_t block, std::uint32_t sector) noexcept;
/// The fault of a flawed entry. REQUIRES: the flaw is kRange or kMetadata.
std::unexpected<Error> fail_entry(const File& file, const Parsed& parsed, std::uint64_t block,
                                  std::uint32_t sector, EntryVerdict verdict);

/// One allocated block: its sector in the upper half, its number in the lower. Sorted, they are in file
/// order.
constexpr std::uint64_t placed_block(std::uint64_t block, std::uint32_t sector) noexcept {
  return std::uint64_t{sector} << 32 | block;
}
/// Refuses two blocks that share bytes. Sorts `placed`.
Status refuse_overlaps(const File& file, const Parsed& parsed, std::vector<std::uint64_t>& placed);

/// A table up to 1 MiB is read and validated whole at open, overlaps included; a larger one page by page on
/// first touch (overlaps are then `check`'s and the first write's to find). Thread rule: readers in any
/// number; changes one at a time, beside them.
class BlockTable {
 public:
  BlockTable() = default;
  ~BlockTable();
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  static constexpr std::uint64_t kEagerBytes = 1024 * 1024;

  /// Marks `parsed` read-only where the last block is short. `file` and `parsed` outlive the table.
  static Result<std::unique_ptr<BlockTable>> load(File& file, Parsed& parsed, const Limits& limits);

  /// The first sector of `block`'s bitmap, or kUnallocated. REQUIRES: block < block_count. Takes no lock and
  /// allocates nothing once the entry's page is loaded.
  Result<std::uint32_t> entry(std::uint64_t block) {
    if (const Entry* own = own_entry(block)) [[likely]]
      return own->load(std::memory_order_acquire);
    const PagedTable::Page* page = VDISK_TRY(paged_->page(block / kPageEntries));
    std::uint32_t stored;
    std::memcpy(&stored, page->bytes + block % kPageEntries * sizeof stored, sizeof stored);
    return ~stored;
  }

  /// Blocks that are there; reads the whole table.
  Result<std::uint64_t> allocated_blocks(std::uint64_t block_count);

  // Changes, in memory alone.
  /// Makes set() and peek() of `block` possible. May read the entry's page and allocate.
  Status prepare(std::uint64_t block);
  /// REQUIRES: prepare(block) succeeded.
  void set(std::uint64_t block, std::uint32_t sector) noexcept {
    own_entry(block)->store(sector, std::memory_order_release);
  }
  std::uint32_t peek(std::uint64_t block) const noexcept {
    return own_entry(block)->load(std::memory_order_acquire);
  }
  /// The entries from `first` on as they are stored in the file. REQUIRES: one of them was prepared, and all
  /// lie in its sector of the file.
  void copy_stored(std::uint64_t first, std::span<std::byte> into) const noexcept;

 private:
  using Entry = std::atomic<std::uint32_t>;
  static constexpr std::size_t kPageEntries = PagedTable::kPageBytes / sizeof(std::uint32_t);

  Status load_eager(File& file, Parsed& parsed);
  Status load_page(File& file, const Parsed& parsed, std::uint64_t page_number,
                   std::span<std::byte> into) const;

  /// The entry where it can change: in the eager table, or in a page that was changed. Null: still as in the
  /// file.
  Entry* own_entry(std::uint64_t block) const noexcept {
    if (eager_ != nullptr) [[likely]]
      return &eager_[block];
    const std::atomic<Entry*>* directory = changed_.load(std::memory_order_acquire);
    if (directory == nullptr) return nullptr;
    Entry* page = directory[block / kPageEntries].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : &page[block % kPageEntries];
  }

  std::unique_ptr<Entry[]> eager_;  // in this host's byte order; unset where the table is paged
  // Entries in this host's byte order and complemented, so that pages of unallocated blocks are zero and
  // shared.
  std::unique_ptr<PagedTable> paged_;
  // Pages of `paged_` that were changed, in this host's byte order: once here, a page stays, and the one
  // below it counts no more.
  std::atomic<std::atomic<Entry*>*> changed_{nullptr};
  std::uint64_t page_count_ = 0;
  std::uint64_t changed_bytes_ = 0;
  std::uint64_t most_bytes_ = 0;
};

}  // namespace vdisk::vhd
