// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/block_table.h"

#include <algorithm>

#include "base/checked.h"
#include "format/vhd/faults.h"

namespace vdisk::vhd {

namespace {

void to_host_order(std::span<std::uint32_t> entries) noexcept {
  for (std::uint32_t& entry : entries) entry = load<Be<std::uint32_t>>(bytes_of(entry));
}

void note_short_tail(Parsed& parsed, std::uint64_t block) {
  parsed.make_read_only(
      faults::kLastBlockShort,
      fmt::format("the file ends inside the last block, {}; every sector of the disk is there", block));
}

}  // namespace

Status refuse_overlaps(const File& file, const Parsed& parsed, std::vector<std::uint64_t>& placed) {
  // Files are mostly in order, so that the sort is seldom needed.
  if (!std::ranges::is_sorted(placed)) std::ranges::sort(placed);
  const std::uint64_t stride_sectors =
      (std::uint64_t{parsed.bitmap_bytes} + parsed.properties.geometry.block_bytes) / kSectorBytes;
  for (std::size_t i = 1; i < placed.size(); ++i) {
    const std::uint64_t before = placed[i - 1] >> 32;
    const std::uint64_t after = placed[i] >> 32;
    if (after - before >= stride_sectors) continue;
    return fail(faults::kBatOverlap,
                "{}: block {} at {:#x} and block {} at {:#x} share bytes; a block with its bitmap takes {}",
                file.name(), placed[i - 1] & 0xFFFF'FFFF, before * kSectorBytes, placed[i] & 0xFFFF'FFFF,
                after * kSectorBytes, stride_sectors * kSectorBytes);
  }
  return {};
}

EntryVerdict judge_entry(const Parsed& parsed, std::uint64_t block, std::uint32_t sector) noexcept {
  const std::uint64_t at = std::uint64_t{sector} * kSectorBytes;
  const std::uint64_t block_bytes = parsed.properties.geometry.block_bytes;
  std::uint64_t length = parsed.bitmap_bytes + block_bytes;
  bool is_short = false;
  if (!fits_within(at, length, parsed.limit_bytes)) {
    const std::uint64_t in_disk =
        std::min(block_bytes, parsed.properties.geometry.virtual_size_bytes - block * block_bytes);
    if (in_disk == block_bytes || !fits_within(at, parsed.bitmap_bytes + in_disk, parsed.limit_bytes)) {
      return {EntryFlaw::kRange, {}};
    }
    length = parsed.bitmap_bytes + in_disk;
    is_short = true;
  }
  for (const Reserved& reserved : parsed.reserved) {
    if (ranges_overlap(at, length, reserved.at, reserved.length))
      return {EntryFlaw::kMetadata, reserved.what};
  }
  return {is_short ? EntryFlaw::kShortTail : EntryFlaw::kNone, {}};
}

std::unexpected<Error> fail_entry(const File& file, const Parsed& parsed, std::uint64_t block,
                                  std::uint32_t sector, EntryVerdict verdict) {
  const std::uint64_t at = std::uint64_t{sector} * kSectorBytes;
  if (verdict.flaw == EntryFlaw::kMetadata) {
    return fail(faults::kBatMetadata, "{}: block {} at {:#x} lies over {}", file.name(), block, at,
                verdict.what);
  }
  const bool cut = parsed.footers.chosen_place == FooterPlace::kFront && !parsed.footers.end.present();
  return fail(
      faults::kBatRange, "{}: block {} at {:#x}, {} bytes with its bitmap, reaches past {:#x}{}", file.name(),
      block, at, parsed.bitmap_bytes + parsed.properties.geometry.block_bytes, parsed.limit_bytes,
      cut ? ", and no footer ends the file: it was cut short, or is the first part of a split VHD (look for "
            ".v01 beside it)"
          : "");
}

Result<std::unique_ptr<BlockTable>> BlockTable::load(File& file, Parsed& parsed, const Limits& limits) {
  auto table = std::make_unique<BlockTable>();
  const std::uint64_t bytes = parsed.block_count * sizeof(std::uint32_t);
  if (bytes <= kEagerBytes) {
    VDISK_TRY(table->load_eager(file, parsed));
    return table;
  }
  BlockTable* self = table.get();
  table->page_count_ = divide_up(bytes, PagedTable::kPageBytes);
  table->most_bytes_ = limits.table_bytes;
  table->paged_ = std::make_unique<PagedTable>(
      table->page_count_, limits.table_bytes,
      [self, &file, &parsed](std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into) {
        return self->load_page(file, parsed, page_number, into);
      });
  // The last block alone can make the image read-only, which an open must tell.
  const std::uint64_t last = parsed.block_count - 1;
  const std::uint32_t sector = VDISK_TRY(table->entry(last));
  if (sector != kUnallocated && judge_entry(parsed, last, sector).flaw == EntryFlaw::kShortTail) {
    note_short_tail(parsed, last);
  }
  return table;
}

Status BlockTable::load_eager(File& file, Parsed& parsed) {
  std::vector<std::uint32_t> entries(parsed.block_count);
  VDISK_TRY(read_exactly(file, FileOffset{parsed.header->table_offset},
                         std::as_writable_bytes(std::span(entries))));
  to_host_order(entries);
  std::vector<std::uint64_t> placed;
  for (std::uint64_t block = 0; block < entries.size(); ++block) {
    if (entries[block] == kUnallocated) continue;
    const EntryVerdict verdict = judge_entry(parsed, block, entries[block]);
    if (verdict.flaw == EntryFlaw::kShortTail) {
      note_short_tail(parsed, block);
    } else if (verdict.flaw != EntryFlaw::kNone) {
      return fail_entry(file, parsed, block, entries[block], verdict);
    }
    placed.push_back(placed_block(block, entries[block]));
  }
  VDISK_TRY(refuse_overlaps(file, parsed, placed));
  eager_ = std::make_unique<Entry[]>(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) eager_[i].store(entries[i], std::memory_order_relaxed);
  return {};
}

BlockTable::~BlockTable() {
  std::atomic<Entry*>* directory = changed_.load(std::memory_order_relaxed);
  if (directory == nullptr) return;
  for (std::uint64_t i = 0; i < page_count_; ++i) delete[] directory[i].load(std::memory_order_relaxed);
  delete[] directory;
}

Status BlockTable::prepare(std::uint64_t block) {
  if (own_entry(block) != nullptr) return {};
  const PagedTable::Page* below = VDISK_TRY(paged_->page(block / kPageEntries));
  constexpr std::uint64_t kBytes = kPageEntries * sizeof(Entry);
  if (changed_bytes_ + kBytes > most_bytes_) {
    return fail(vdisk::faults::kMemory,
                "changed pages of the block table would exceed the limit of {} cached bytes; raise "
                "Limits::table_bytes",
                most_bytes_);
  }
  if (changed_.load(std::memory_order_relaxed) == nullptr) {
    changed_.store(std::make_unique<std::atomic<Entry*>[]>(page_count_).release(), std::memory_order_release);
  }
  auto page = std::make_unique<Entry[]>(kPageEntries);
  for (std::size_t i = 0; i < kPageEntries; ++i) {
    std::uint32_t stored;
    std::memcpy(&stored, below->bytes + i * sizeof stored, sizeof stored);
    page[i].store(~stored, std::memory_order_relaxed);
  }
  changed_bytes_ += kBytes;
  changed_.load(std::memory_order_relaxed)[block / kPageEntries].store(page.release(),
                                                                       std::memory_order_release);
  return {};
}

void BlockTable::copy_stored(std::uint64_t first, std::span<std::byte> into) const noexcept {
  for (std::size_t i = 0; i < into.size() / sizeof(std::uint32_t); ++i) {
    store(into.subspan(i * sizeof(std::uint32_t)), Be<std::uint32_t>(peek(first + i)));
  }
}

Status BlockTable::load_page(File& file, const Parsed& parsed, std::uint64_t page_number,
                             std::span<std::byte> into) const {
  const std::uint64_t first = page_number * kPageEntries;
  const std::uint64_t count = std::min<std::uint64_t>(kPageEntries, parsed.block_count - first);
  std::ranges::fill(into, std::byte{0});
  const auto stored = into.first(count * sizeof(std::uint32_t));
  VDISK_TRY_CONTEXT(
      read_exactly(file, FileOffset{parsed.header->table_offset + first * sizeof(std::uint32_t)}, stored),
      "block allocation table, entries {} to {}", first, first + count - 1);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto place = stored.subspan(i * sizeof(std::uint32_t), sizeof(std::uint32_t));
    const std::uint32_t sector = vdisk::load<Be<std::uint32_t>>(place);
    store(place, ~sector);
    if (sector == kUnallocated) continue;
    const EntryVerdict verdict = judge_entry(parsed, first + i, sector);
    if (verdict.flaw == EntryFlaw::kRange || verdict.flaw == EntryFlaw::kMetadata) {
      return fail_entry(file, parsed, first + i, sector, verdict);
    }
  }
  return {};
}

Result<std::uint64_t> BlockTable::allocated_blocks(std::uint64_t block_count) {
  std::uint64_t allocated = 0;
  for (std::uint64_t block = 0; block < block_count; ++block) {
    if (VDISK_TRY(entry(block)) != kUnallocated) ++allocated;
  }
  return allocated;
}

}  // namespace vdisk::vhd
