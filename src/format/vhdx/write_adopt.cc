// SPDX-License-Identifier: Apache-2.0
//
// Taking over the changes that a killed writer had answered and not flushed (format/intent_memory.h). Its
// payload is in the file; only the mapping is missing, and is made again as the dead writer had it.
#include "base/checked.h"
#include "format/registry.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/write.h"

namespace vdisk::vhdx {

namespace {

std::unexpected<Error> conflict(const File& file, const PendingBlock& pending, BatEntry entry,
                                std::string_view why) {
  return fail(
      format::faults::kIntentConflict,
      "{}: block {} was changed by a server that was killed, to lie at {:#x}, but {}; its BAT entry is {:#x}",
      file.name(), pending.block, pending.place ? pending.place->bytes : 0, why, entry.raw);
}

}  // namespace

/// Before anything is handed out: the places of blocks that only memory knows.
Status Writer::claim_pending(SpaceMap& taken) {
  const std::uint64_t file_bytes = VDISK_TRY(parts_.file.size());
  for (const PendingBlock& pending : pending_) {
    if (pending.block >= divide_up(geometry().disk_bytes, geometry().block_bytes)) {
      return conflict(parts_.file, pending, {}, "the disk has no such block");
    }
    if (!pending.place) continue;
    const BatEntry entry = VDISK_TRY(parts_.bat.entry(geometry().payload_index(pending.block)));
    if (entry.has_payload() && entry.file_offset() == pending.place->bytes)
      continue;  // The flush came so far.
    if (!pending.fresh || pending.place->bytes % kMiB != 0 || pending.place->bytes == 0) {
      return conflict(parts_.file, pending, entry, "nothing put it there");
    }
    if (!fits_within(pending.place->bytes, geometry().block_bytes, file_bytes)) {
      return conflict(parts_.file, pending, entry, "the file ends before");
    }
    if (taken.claim(pending.place->bytes / kMiB, geometry().block_bytes / kMiB) != SpaceMap::Claim::kFree) {
      return conflict(parts_.file, pending, entry, "something else lies there");
    }
  }
  return {};
}

/// Makes room for the changes that bring the block to where it was; they are then committed as a ticket's.
Result<std::vector<BlockChange>> Writer::prepare_adoption(const PendingBlock& pending) {
  const std::uint64_t index = geometry().payload_index(pending.block);
  std::vector<BlockChange> changes;
  const MutexLock lock(mutex_);
  VDISK_TRY(track_bat(index));
  const BatEntry before = entry_now(index);
  const bool there = before.has_payload() && before.file_offset() == pending.place->bytes;
  if (before.has_payload() && !there) return conflict(parts_.file, pending, before, "it lies elsewhere");
  for (const PendingBlock::Sectors& sectors : pending.written) {
    if (!fits_within(sectors.first, sectors.count, sectors_per_block())) {
      return conflict(parts_.file, pending, before, "sectors past its end were written");
    }
    changes.push_back(
        {pending.block, *pending.place, sectors.first, sectors.count, !there && changes.empty()});
  }
  if (changes.empty()) return changes;
  if (geometry().differencing && (there || becomes_partial(before, changes.front()))) {
    VDISK_TRY(ensure_bitmap(pending.block));
    VDISK_TRY(track_bits(pending.block, 0, sectors_per_block()));
  }
  if (!there) {
    expect_freed(1);
    // Never "never used": the payload must be durable before the entry is.
    making_.emplace(pending.block,
                    Making{{pending.place->bytes / kMiB, geometry().block_bytes / kMiB, false}, before});
  }
  return changes;
}

Status Writer::adopt(const PendingBlock& pending) {
  const std::uint64_t index = geometry().payload_index(pending.block);
  const BatEntry entry = VDISK_TRY(parts_.bat.entry(index));
  const bool there = pending.place && entry.has_payload() && entry.file_offset() == pending.place->bytes;
  if (pending.discarded && !there) VDISK_TRY(discard_block(pending.block, /*keep_space=*/false));
  if (!pending.place) return {};
  commit(VDISK_TRY(prepare_adoption(pending)));
  return {};
}

Status Writer::keep_intents(IntentMemory& memory) {
  VDISK_ASSERT(!started_.load(std::memory_order_acquire) && intents_ == nullptr);
  pending_ = VDISK_TRY(memory.pending());
  const std::uint64_t position = memory.position();
  if (!pending_.empty()) {
    VDISK_TRY(ready());
    for (const PendingBlock& pending : pending_) VDISK_TRY(adopt(pending));
    VDISK_TRY(flush());
    pending_ = {};
  }
  memory.forget_before(position);
  intents_ = &memory;
  return {};
}

}  // namespace vdisk::vhdx
