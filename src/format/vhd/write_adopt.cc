// SPDX-License-Identifier: Apache-2.0
//
// Taking over the changes that a killed writer had answered and not flushed (format/intent_memory.h). Its
// payload is in the file, and so is a bitmap in front of each block that it made; only the entry and the bits
// are missing.
#include "base/checked.h"
#include "format/registry.h"
#include "format/vhd/write.h"

namespace vdisk::vhd {

namespace {

std::unexpected<Error> conflict(const File& file, const PendingBlock& pending, std::uint32_t entry,
                                std::string_view why) {
  return fail(format::faults::kIntentConflict,
              "{}: block {} was changed by a server that was killed, to have its data at {:#x}, but {}; its "
              "BAT entry is "
              "{:#x}",
              file.name(), pending.block, pending.place ? pending.place->bytes : 0, why, entry);
}

}  // namespace

/// Adds the blocks that only memory knows to those that the file knows: no place of theirs is free.
Status Writer::place_pending(std::vector<std::uint64_t>& placed) {
  for (const PendingBlock& pending : pending_) {
    if (pending.block >= parsed_.block_count)
      return conflict(file_, pending, kUnallocated, "the disk has no such block");
    if (!pending.place) continue;
    const std::uint32_t entry = VDISK_TRY(table_->entry(pending.block));
    const std::uint64_t place = pending.place->bytes - parsed_.bitmap_bytes;
    if (pending.place->bytes < parsed_.bitmap_bytes || !is_multiple(place, kSectorBytes) ||
        place / kSectorBytes >= kUnallocated) {
      return conflict(file_, pending, entry, "no block can lie there");
    }
    const auto sector = static_cast<std::uint32_t>(place / kSectorBytes);
    if (entry == sector) continue;  // The flush came so far.
    const EntryVerdict verdict = judge_entry(parsed_, pending.block, sector);
    if (!pending.fresh || verdict.flaw != EntryFlaw::kNone) {
      return conflict(file_, pending, entry,
                      pending.fresh ? "no block can lie there" : "nothing put it there");
    }
    placed.push_back(placed_block(pending.block, sector));
  }
  return refuse_overlaps(file_, parsed_, placed);
}

/// Makes room for the changes that bring the block to where it was; they are then committed as a ticket's.
Result<std::vector<BlockChange>> Writer::prepare_adoption(const PendingBlock& pending) {
  const auto sector =
      static_cast<std::uint32_t>((pending.place->bytes - parsed_.bitmap_bytes) / kSectorBytes);
  const std::uint32_t entry = VDISK_TRY(table_->entry(pending.block));
  const bool there = entry == sector;
  if (!there && entry != kUnallocated) return conflict(file_, pending, entry, "it lies elsewhere");
  const std::uint32_t sectors = sectors_of(pending.block);
  if (there) {
    static_cast<void>(VDISK_TRY(
        bitmaps_->get(pending.block, FileOffset{pending.place->bytes - parsed_.bitmap_bytes}, sectors)));
  }
  std::vector<BlockChange> changes;
  const MutexLock lock(mutex_);
  VDISK_TRY(table_->prepare(pending.block));
  for (const PendingBlock::Sectors& written : pending.written) {
    if (!fits_within(written.first, written.count, sectors)) {
      return conflict(file_, pending, entry, "sectors past its end were written");
    }
    changes.push_back(
        {pending.block, *pending.place, written.first, written.count, !there && changes.empty()});
  }
  const bool whole = changes.size() == 1 && changes.front().sector_count == sectors;
  VDISK_TRY(bitmaps_->prepare(pending.block, there || (differencing_ && !whole)));
  for (std::size_t i = 0; i < changes.size(); ++i) reserve_change();
  if (!there) making_.insert(pending.block);  // Counted among the blocks of the file when it was placed.
  return changes;
}

Status Writer::adopt(const PendingBlock& pending) {
  const std::uint32_t entry = VDISK_TRY(table_->entry(pending.block));
  const bool there = pending.place && entry == (pending.place->bytes - parsed_.bitmap_bytes) / kSectorBytes;
  if (pending.discarded && !there && entry != kUnallocated) VDISK_TRY(free_block(pending.block));
  if (!pending.place) return {};
  commit(VDISK_TRY(prepare_adoption(pending)));
  return {};
}

Status Writer::keep_intents(IntentMemory& memory) {
  VDISK_ASSERT(!begun_.load(std::memory_order_acquire) && intents_ == nullptr);
  if (fixed()) return {};
  pending_ = VDISK_TRY(memory.pending());
  const std::uint64_t position = memory.position();
  if (!pending_.empty()) {
    VDISK_TRY(begin());
    for (const PendingBlock& pending : pending_) VDISK_TRY(adopt(pending));
    VDISK_TRY(flush());
    pending_ = {};
  }
  memory.forget_before(position);
  intents_ = &memory;
  return {};
}

}  // namespace vdisk::vhd
