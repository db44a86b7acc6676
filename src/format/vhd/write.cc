// SPDX-License-Identifier: Apache-2.0
//
// The data path of writes: which blocks are made, whose bits change, what is freed. All of it in memory.
#include "format/vhd/write.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "format/vhd/faults.h"

namespace vdisk::vhd {

Writer::Writer(const Parts& parts, const Growth& growth)
    : file_(parts.file),
      parsed_(parts.parsed),
      table_(parts.table),
      bitmaps_(parts.bitmaps),
      gate_(parts.gate),
      limits_(parts.limits),
      growth_(growth),
      differencing_(parts.parsed.properties.type == DiskType::kDifferencing),
      block_shift_(fixed() ? 0
                           : static_cast<std::uint32_t>(
                                 std::countr_zero(parts.parsed.properties.geometry.block_bytes))),
      rules_(parts.parsed),
      allocator_(rules_) {}

Status Writer::flush_file() {
  Status status = file_.flush();
  if (!status) return poison_.set(std::move(status).error());
  return {};
}

std::uint32_t Writer::sectors_of(std::uint64_t block) const noexcept {
  const std::uint64_t start = block << block_shift_;
  const std::uint64_t end = std::min((block + 1) << block_shift_, disk_bytes());
  return static_cast<std::uint32_t>((end - start) / kSectorBytes);
}

Writer::Piece Writer::piece_of(std::uint64_t at, std::uint64_t end) const noexcept {
  Piece piece;
  piece.block = at >> block_shift_;
  piece.at = at;
  piece.end = std::min((piece.block + 1) << block_shift_, end);
  piece.first_sector = static_cast<std::uint32_t>((at - (piece.block << block_shift_)) / kSectorBytes);
  piece.sector_count = static_cast<std::uint32_t>((piece.end - at) / kSectorBytes);
  piece.whole = piece.sector_count == sectors_of(piece.block);
  return piece;
}

Result<WriteTicket> Writer::resolve(DiskRange range, RunList& runs) {
  runs.clear();
  VDISK_TRY(poison_.check());
  VDISK_TRY(begin());
  WriteTicket ticket(*this, range.length);
  if (fixed()) {
    runs.add({Run::Source::kFile, range.at, range.length, FileOffset{range.at.bytes}});
    return ticket;
  }
  if (dirty_bytes_.load(std::memory_order_relaxed) > kMostDirtyBytes ||
      (intents_ != nullptr && intents_->nearly_full())) {
    VDISK_TRY(flush());
  }
  std::uint64_t at = range.at.bytes;
  while (at < range.end()) {
    const Piece piece = piece_of(at, range.end());
    if (!VDISK_TRY(resolve_piece(piece, ticket, runs))) break;
    at = piece.end;
  }
  ticket.set_covered_bytes(at - range.at.bytes);
  return ticket;
}

/// False where the ticket must end: it or the list is full, or someone else is making the block.
Result<bool> Writer::resolve_piece(const Piece& piece, WriteTicket& ticket, RunList& runs) {
  if (runs.size() == RunList::kCapacity || ticket.changes().size() == WriteTicket::kMostChanges) return false;
  std::uint32_t sector = VDISK_TRY(table_->entry(piece.block));
  bool fresh = false;
  while (sector == kUnallocated) {
    // A ticket that holds blocks never waits for another's: waits cannot form a circle.
    const auto place = VDISK_TRY(make_block(piece, /*may_wait=*/runs.empty()));
    if (place) {
      sector = static_cast<std::uint32_t>(*place / kSectorBytes);
      fresh = true;
      break;
    }
    sector = VDISK_TRY(table_->entry(piece.block));
    if (sector == kUnallocated && !runs.empty()) return false;
  }
  const FileOffset data = data_at(sector);
  bool changes = fresh;
  if (!fresh) {
    const FileOffset bitmap_at{std::uint64_t{sector} * kSectorBytes};
    const SectorBitmap bitmap = VDISK_TRY(bitmaps_->get(piece.block, bitmap_at, sectors_of(piece.block)));
    if (!bitmap.all_set(piece.first_sector, piece.first_sector + piece.sector_count)) {
      const MutexLock lock(mutex_);
      VDISK_TRY(table_->prepare(piece.block));
      VDISK_TRY(bitmaps_->prepare(piece.block, /*bits=*/true));
      reserve_change();
      changes = true;
    }
  }
  if (changes) ticket.add({piece.block, data, piece.first_sector, piece.sector_count, fresh});
  runs.add({Run::Source::kFile, DiskOffset{piece.at}, piece.end - piece.at,
            FileOffset{data.bytes + std::uint64_t{piece.first_sector} * kSectorBytes}});
  return true;
}

void Writer::reserve_change() {
  const std::size_t needed = dirty_bitmaps_.size() + open_changes_ + 1;
  if (dirty_bitmaps_.capacity() < needed)
    dirty_bitmaps_.reserve(std::max(needed, 2 * dirty_bitmaps_.capacity()));
  allocator_.reserve(open_changes_ + 1);
  ++open_changes_;
}

/// Nothing, without `stop`: there is no place at the moment. With it: someone else makes or made the block.
Result<std::optional<std::uint64_t>> Writer::claim(const Piece& piece, bool may_wait, bool& stop) {
  const MutexLock lock(mutex_);
  VDISK_TRY(table_->prepare(piece.block));
  while (making_.contains(piece.block)) {
    if (!may_wait) {
      stop = true;
      return std::nullopt;
    }
    made_.wait(mutex_);
  }
  if (table_->peek(piece.block) != kUnallocated) {
    stop = true;
    return std::nullopt;
  }
  // A whole block needs no bitmap of its own: it becomes all ones at once.
  VDISK_TRY(bitmaps_->prepare(piece.block, differencing_ && !piece.whole));
  if (!allocator_.has_place()) return std::nullopt;
  making_.insert(piece.block);
  reserve_change();
  --blocks_left_;
  return allocator_.take();
}

/// Nothing where someone else makes or made the block.
Result<std::optional<std::uint64_t>> Writer::make_block(const Piece& piece, bool may_wait) {
  for (;;) {
    bool stop = false;
    const auto place = VDISK_TRY(claim(piece, may_wait, stop));
    if (stop) return std::nullopt;
    if (!place) {
      VDISK_TRY(make_space());
      continue;
    }
    // Written before the ticket is given out, so that a full host shows here and not in a flush. Windows sets
    // all bits of a dynamic disk's block at once (formats.md 1.6).
    const std::vector<std::byte> bitmap(parsed_.bitmap_bytes, differencing_ ? std::byte{0} : std::byte{0xFF});
    Status written = file_.write(FileOffset{*place}, bitmap);
    if (written) return place;
    const BlockChange change{piece.block, FileOffset{*place + parsed_.bitmap_bytes}, 0, 0, true};
    abandon({&change, 1});
    return std::unexpected(std::move(written).error());
  }
}

void Writer::mark_table(std::uint64_t block) noexcept {
  const std::uint64_t sector = block / (kSectorBytes / sizeof(std::uint32_t));
  const std::uint64_t bit = std::uint64_t{1} << sector % 64;
  if ((dirty_table_[sector / 64] & bit) == 0) dirty_bytes_.fetch_add(kSectorBytes, std::memory_order_relaxed);
  dirty_table_[sector / 64] |= bit;
}

void Writer::mark_bitmap(std::uint64_t block) noexcept {
  dirty_bitmaps_.push_back(block);
  dirty_bytes_.fetch_add(parsed_.bitmap_bytes, std::memory_order_relaxed);
}

void Writer::commit(std::span<const BlockChange> changes) noexcept {
  const MutexLock lock(mutex_);
  for (const BlockChange& change : changes) {
    const auto sector =
        static_cast<std::uint32_t>((change.place.bytes - parsed_.bitmap_bytes) / kSectorBytes);
    // A block that was freed meanwhile takes the write with it.
    if (!change.fresh && table_->peek(change.block) != sector) continue;
    if (intents_ != nullptr) intents_->record(change);
    if (change.fresh && (!differencing_ || change.sector_count == sectors_of(change.block))) {
      bitmaps_->set_all(change.block);
      if (differencing_) mark_bitmap(change.block);
    } else if (bitmaps_->set(change.block, change.first_sector, change.sector_count)) {
      mark_bitmap(change.block);
    }
    if (!change.fresh || differencing_) payload_first_ = true;
    if (change.fresh) {
      table_->set(change.block, sector);
      mark_table(change.block);
      making_.erase(change.block);
    }
  }
  open_changes_ -= changes.size();
  made_.notify_all();
}

void Writer::abandon(std::span<const BlockChange> changes) noexcept {
  const MutexLock lock(mutex_);
  for (const BlockChange& change : changes) {
    if (!change.fresh) continue;
    // Part of the payload may be there: the place must be emptied before anyone gets it.
    allocator_.give_back({change.place.bytes - parsed_.bitmap_bytes, gate_.epoch()});
    ++blocks_left_;
    making_.erase(change.block);
  }
  open_changes_ -= changes.size();
  made_.notify_all();
}

Status Writer::discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) {
  rest.clear();
  VDISK_TRY(poison_.check());
  VDISK_TRY(begin());
  if (fixed()) {
    const FileOffset at{range.at.bytes};
    return keep_space ? file_.zero(at, range.length) : file_.punch(at, range.length);
  }
  if (differencing_ && keep_space) {
    rest.push_back(range);  // only sectors that are in this file can hide the parent's
    return {};
  }
  for (std::uint64_t at = range.at.bytes; at < range.end();) {
    const Piece piece = piece_of(at, range.end());
    VDISK_TRY(discard_block(piece, keep_space, rest));
    at = piece.end;
  }
  return {};
}

Status Writer::discard_block(const Piece& piece, bool keep_space, std::vector<DiskRange>& rest) {
  const std::uint32_t sector = VDISK_TRY(table_->entry(piece.block));
  if (sector == kUnallocated) {
    if (differencing_) rest.push_back({DiskOffset{piece.at}, piece.end - piece.at});
    return {};
  }
  if (!piece.whole) {
    rest.push_back({DiskOffset{piece.at}, piece.end - piece.at});
    return {};
  }
  const std::uint64_t length = parsed_.properties.geometry.block_bytes;
  if (keep_space) return file_.zero(data_at(sector), length);
  // A block of a differencing disk keeps its bits: without them the parent would show again.
  if (differencing_) return file_.punch(data_at(sector), length);
  return free_block(piece.block);
}

Status Writer::free_block(std::uint64_t block) {
  const MutexLock lock(mutex_);
  VDISK_TRY(table_->prepare(block));
  const std::uint32_t sector = table_->peek(block);
  if (sector == kUnallocated) return {};
  allocator_.reserve(open_changes_ + 1);
  table_->set(block, kUnallocated);  // before the bitmap goes: readers look at the entry again after it
  bitmaps_->forget(block);
  mark_table(block);
  if (intents_ != nullptr) intents_->record_discard(block);
  allocator_.free({std::uint64_t{sector} * kSectorBytes, gate_.epoch()});
  ++blocks_left_;
  any_freed_ = true;
  return {};
}

}  // namespace vdisk::vhd
