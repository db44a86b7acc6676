// SPDX-License-Identifier: Apache-2.0
//
// The block allocation table of an open VHD: where each block lies. Every entry that is handed out was
// validated.
#pragma once

#include <cstring>
#include <memory>
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

/// A table up to 1 MiB is read and validated whole at open, overlaps included; a larger one page by page on
/// first touch (overlaps are then `check`'s to find). Thread rule: any number of threads.
class BlockTable {
 public:
  static constexpr std::uint64_t kEagerBytes = 1024 * 1024;

  /// Marks `parsed` read-only where the last block is short. `file` and `parsed` outlive the table.
  static Result<std::unique_ptr<BlockTable>> load(File& file, Parsed& parsed, const Limits& limits);

  /// The first sector of `block`'s bitmap, or kUnallocated. REQUIRES: block < block_count. Takes no lock and
  /// allocates nothing once the entry's page is loaded.
  Result<std::uint32_t> entry(std::uint64_t block) {
    if (!eager_.empty()) [[likely]]
      return eager_[block];
    const PagedTable::Page* page = VDISK_TRY(paged_->page(block / kPageEntries));
    std::uint32_t stored;
    std::memcpy(&stored, page->bytes + block % kPageEntries * sizeof stored, sizeof stored);
    return ~stored;
  }

  /// Blocks that are there; reads the whole table.
  Result<std::uint64_t> allocated_blocks(std::uint64_t block_count);

 private:
  static constexpr std::size_t kPageEntries = PagedTable::kPageBytes / sizeof(std::uint32_t);

  Status load_eager(File& file, Parsed& parsed);
  Status load_page(File& file, const Parsed& parsed, std::uint64_t page_number,
                   std::span<std::byte> into) const;

  std::vector<std::uint32_t> eager_;  // in this host's byte order
  // Entries in this host's byte order and complemented, so that pages of unallocated blocks are zero and
  // shared.
  std::unique_ptr<PagedTable> paged_;
};

}  // namespace vdisk::vhd
