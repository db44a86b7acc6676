// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/write.h"

#include <algorithm>

#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

namespace {

BatEntry entry_of(PayloadState state, std::uint64_t place = 0) noexcept {
  return {place | static_cast<std::uint64_t>(state)};
}

/// A block that holds nothing of its own: its next write needs space.
bool needs_space(BatEntry entry) noexcept { return !entry.has_payload(); }

bool is_full(BatEntry entry) noexcept { return entry.payload_state() == PayloadState::kFullyPresent; }

}  // namespace

Writer::Writer(const WriterParts& parts, Headers headers)
    : parts_(parts), headers_(std::move(headers)), journal_(parts_.file, headers_), space_(parts_.file) {}

std::uint64_t Writer::bytes_on_disk(std::uint64_t block) const noexcept {
  return std::min<std::uint64_t>(geometry().block_bytes,
                                 geometry().disk_bytes - (block << geometry().block_shift));
}

// --- Pages ---

Status Writer::track(PageKey key) {
  if (pages_.contains(key)) return {};
  TrackedPage tracked;
  if (key.table == Table::kBat) {
    tracked.page = VDISK_TRY(parts_.bat.writable_page_of(key.number * Bat::kEntriesPerPage));
    tracked.file_offset = parts_.bat.page_offset(key.number);
  } else {
    tracked.page = VDISK_TRY(parts_.bitmaps->writable_page(key.number));
    tracked.file_offset = VDISK_TRY(parts_.bitmaps->page_offset(key.number));
  }
  // Space before the change, so that a full host never stops a commit half-way.
  constexpr std::uint64_t kPieceBytes = 64 * kKiB;
  const std::uint64_t piece = tracked.file_offset / kPieceBytes;
  if (!reserved_.contains(piece)) {
    VDISK_TRY_CONTEXT(reserve_range(parts_.file, piece * kPieceBytes, kPieceBytes),
                      "reserving space for a table page");
    reserved_.insert(piece);
  }
  pages_.emplace(key, tracked);
  return {};
}

Status Writer::track_bat(std::uint64_t index) { return track({Table::kBat, index / Bat::kEntriesPerPage}); }

Status Writer::track_bits(std::uint64_t block, std::uint64_t first_sector, std::uint64_t count) {
  const std::uint64_t first = block * sectors_per_block() + first_sector;
  const std::uint64_t last_page = (first + count - 1) / SectorBitmaps::kBitsPerPage;
  for (std::uint64_t page = first / SectorBitmaps::kBitsPerPage; page <= last_page; ++page) {
    VDISK_TRY(track({Table::kBitmap, page}));
  }
  return {};
}

void Writer::mark_dirty(TrackedPage& page) {
  if (!page.dirty) ++dirty_pages_;
  page.dirty = true;
}

void Writer::set_entry(std::uint64_t index, BatEntry entry) {
  const auto tracked = pages_.find({Table::kBat, index / Bat::kEntriesPerPage});
  VDISK_ASSERT(tracked != pages_.end());
  Bat::store_entry(*tracked->second.page, index, entry);
  mark_dirty(tracked->second);
}

BatEntry Writer::entry_now(std::uint64_t index) {
  const auto tracked = pages_.find({Table::kBat, index / Bat::kEntriesPerPage});
  VDISK_ASSERT(tracked != pages_.end());
  return Bat::entry_in(*tracked->second.page, index);
}

void Writer::set_bits(std::uint64_t block, std::uint64_t first_sector, std::uint64_t count, bool value) {
  std::uint64_t at = block * sectors_per_block() + first_sector;
  const std::uint64_t end = at + count;
  while (at < end) {
    const std::uint64_t number = at / SectorBitmaps::kBitsPerPage;
    const std::uint64_t in_page = at % SectorBitmaps::kBitsPerPage;
    const std::uint64_t bits = std::min(end - at, SectorBitmaps::kBitsPerPage - in_page);
    const auto tracked = pages_.find({Table::kBitmap, number});
    VDISK_ASSERT(tracked != pages_.end());
    SectorBitmaps::set_bits(*tracked->second.page, in_page, bits, value);
    mark_dirty(tracked->second);
    at += bits;
  }
}

void Writer::free_later(const Space& space) {
  // Read after the entry was changed: whoever enters the gate from now on cannot find the space any more.
  freed_.push_back({space, next_commit_, parts_.gate.epoch()});
}

void Writer::expect_freed(std::size_t count) {
  const std::size_t wanted = freed_.size() + making_.size() + count;
  if (freed_.capacity() < wanted) freed_.reserve(std::max(wanted, 2 * freed_.capacity()));
}

void Writer::grown() {
  if (parts_.file_bytes.load(std::memory_order_relaxed) < space_.file_bytes()) {
    parts_.file_bytes.store(space_.file_bytes(), std::memory_order_release);
  }
}

// --- Tickets ---

/// Adds the part of the range, from its beginning, that has its place already: no lock, nothing to commit.
Result<std::uint64_t> Writer::add_present(DiskRange range, RunList& runs) {
  const std::uint64_t end = range.end();
  std::uint64_t at = range.at.bytes;
  while (at < end) {
    const std::uint64_t block = at >> geometry().block_shift;
    const BatEntry entry = VDISK_TRY(parts_.bat.entry(geometry().payload_index(block)));
    std::uint64_t stop = std::min(end, (block + 1) << geometry().block_shift);
    if (entry.payload_state() == PayloadState::kPartiallyPresent) {
      const unsigned shift = geometry().sector_shift;
      std::uint64_t present = at >> shift;
      while (present < stop >> shift) {
        const BitRun bits = VDISK_TRY(parts_.bitmaps->run(present, stop >> shift));
        if (!bits.value) break;
        present = bits.end;
      }
      if (present << shift != stop) break;  // A ticket takes the block as one.
    } else if (!is_full(entry)) {
      break;
    }
    const std::uint64_t from = entry.file_offset() + (at & (geometry().block_bytes - 1));
    if (!runs.add({Run::Source::kFile, DiskOffset{at}, stop - at, FileOffset{from}})) break;
    at = stop;
  }
  return at - range.at.bytes;
}

Result<WriteTicket> Writer::resolve(DiskRange range, RunList& runs) {
  VDISK_ASSERT(range.length != 0 && fits_within(range.at.bytes, range.length, geometry().disk_bytes));
  VDISK_TRY(ready());
  for (;;) {
    runs.clear();
    const std::uint64_t present = VDISK_TRY(add_present(range, runs));
    if (present != 0) [[likely]]
      return WriteTicket(*this, present);
    VDISK_TRY(bound_dirty());
    auto ticket = VDISK_TRY(allocate(range, runs));
    if (ticket) return std::move(*ticket);
  }
}

/// Takes what has no place yet; nothing when the block had to be waited for, or has its place by now.
Result<std::optional<WriteTicket>> Writer::allocate(DiskRange range, RunList& runs) {
  std::optional<WriteTicket> ticket(std::in_place, *this, 0);
  std::vector<Space> to_clear;
  {
    const MutexLock lock(mutex_);
    if (making_.contains(range.at.bytes >> geometry().block_shift)) {
      // Waiting holds no block, so waits cannot form a circle.
      block_done_.wait(mutex_);
      return std::optional<WriteTicket>();
    }
    Status taken = take_blocks(range, runs, *ticket, to_clear);
    grown();
    // What could be taken is of use; the obstacle is met again by the ticket after it.
    if (ticket->covered_bytes() == 0) {
      if (!taken) return std::unexpected(std::move(taken).error());
      return std::optional<WriteTicket>();
    }
  }
  for (const Space& space : to_clear) {
    VDISK_TRY_CONTEXT(parts_.file.punch(FileOffset{space.offset()}, space.bytes()), "clearing reused space");
  }
  return ticket;
}

Status Writer::take_blocks(DiskRange range, RunList& runs, WriteTicket& ticket,
                           std::vector<Space>& to_clear) {
  const std::uint64_t end = range.end();
  std::uint64_t at = range.at.bytes;
  while (at < end && ticket.changes().size() < WriteTicket::kMostChanges) {
    const std::uint64_t block = at >> geometry().block_shift;
    if (making_.contains(block)) break;
    const BatEntry entry = VDISK_TRY(parts_.bat.entry(geometry().payload_index(block)));
    if (is_full(entry)) break;
    std::uint64_t taken = 0;
    if (needs_space(entry)) {
      taken = VDISK_TRY(take_fresh({DiskOffset{at}, end - at}, runs, ticket, to_clear));
    } else {
      const std::uint64_t stop = std::min(end, (block + 1) << geometry().block_shift);
      taken = VDISK_TRY(take_partial({DiskOffset{at}, stop - at}, entry, runs, ticket));
    }
    at += taken;
    ticket.set_covered_bytes(at - range.at.bytes);
  }
  return {};
}

Result<std::uint64_t> Writer::take_partial(DiskRange piece, BatEntry entry, RunList& runs,
                                           WriteTicket& ticket) {
  const std::uint64_t block = piece.at.bytes >> geometry().block_shift;
  const std::uint64_t in_block = piece.at.bytes & (geometry().block_bytes - 1);
  const BlockChange change = {
      .block = block,
      .place = FileOffset{entry.file_offset()},
      .first_sector = static_cast<std::uint32_t>(in_block >> geometry().sector_shift),
      .sector_count = static_cast<std::uint32_t>(piece.length >> geometry().sector_shift),
      .fresh = false,
  };
  VDISK_TRY(track_bat(geometry().payload_index(block)));
  VDISK_TRY(track_bits(block, change.first_sector, change.sector_count));
  // As many runs as changes at most.
  const bool added =
      runs.add({Run::Source::kFile, piece.at, piece.length, FileOffset{entry.file_offset() + in_block}}) &&
      ticket.add(change);
  VDISK_ASSERT(added);
  return piece.length;
}

bool Writer::covers_block(const BlockChange& change) const noexcept {
  return std::uint64_t{change.sector_count} << geometry().sector_shift == bytes_on_disk(change.block);
}

/// Sectors that are not written go on to show the parent exactly if they did before.
bool Writer::becomes_partial(BatEntry before, const BlockChange& change) const noexcept {
  return geometry().differencing && before.payload_state() == PayloadState::kNotPresent &&
         !covers_block(change);
}

/// How many blocks from this one on need space, at most `most`.
Result<std::uint64_t> Writer::count_fresh(std::uint64_t block, std::uint64_t most) {
  std::uint64_t count = 0;
  for (; count < most && !making_.contains(block + count); ++count) {
    if (!needs_space(VDISK_TRY(parts_.bat.entry(geometry().payload_index(block + count))))) break;
  }
  return count;
}

/// The chunk's bitmap block, which lies before the first block that needs it, as Windows places it
/// (formats.md 2.9). It stays: a bitmap without a partial block harms nobody, and log entries of this session
/// may name its pages for as long as they are in the ring.
Status Writer::ensure_bitmap(std::uint64_t block) {
  const std::uint64_t index = geometry().bitmap_index(block >> geometry().ratio_shift);
  if (VDISK_TRY(parts_.bat.entry(index)).bitmap_present()) return {};
  VDISK_TRY(track_bat(index));
  const Space space = VDISK_TRY(space_.allocate(kBitmapBlockBytes / kMiB, 1));
  grown();
  if (!space.never_used) {
    if (Status cleared = parts_.file.punch(FileOffset{space.offset()}, space.bytes()); !cleared) {
      space_.release(space);
      return cleared;
    }
  }
  set_entry(index, {space.offset() | static_cast<std::uint64_t>(BitmapState::kPresent)});
  return {};
}

Result<std::uint64_t> Writer::take_fresh(DiskRange range, RunList& runs, WriteTicket& ticket,
                                         std::vector<Space>& to_clear) {
  const std::uint64_t block_bytes = geometry().block_bytes;
  const std::uint64_t end = range.end();
  const std::uint64_t first = range.at.bytes >> geometry().block_shift;
  const std::uint64_t wanted = std::min<std::uint64_t>(((end - 1) >> geometry().block_shift) - first + 1,
                                                       WriteTicket::kMostChanges - ticket.changes().size());
  std::vector<std::pair<BlockChange, BatEntry>> plans;
  // Everything that can fail comes before anything is taken.
  const std::uint64_t count = VDISK_TRY(count_fresh(first, wanted));
  for (std::uint64_t block = first; block < first + count; ++block) {
    const std::uint64_t begin = std::max(range.at.bytes, block << geometry().block_shift);
    const std::uint64_t stop = std::min(end, (block + 1) << geometry().block_shift);
    const std::uint64_t index = geometry().payload_index(block);
    const BlockChange change = {
        .block = block,
        .place = {},
        .first_sector = static_cast<std::uint32_t>((begin & (block_bytes - 1)) >> geometry().sector_shift),
        .sector_count = static_cast<std::uint32_t>((stop - begin) >> geometry().sector_shift),
        .fresh = true,
    };
    VDISK_TRY(track_bat(index));
    const BatEntry before = entry_now(index);
    if (becomes_partial(before, change)) {
      VDISK_TRY(ensure_bitmap(block));
      VDISK_TRY(track_bits(block, 0, sectors_per_block()));
    }
    plans.emplace_back(change, before);
  }
  expect_freed(count);
  const std::uint64_t block_mib = block_bytes / kMiB;
  const Space space = VDISK_TRY(space_.allocate(block_mib, count));
  if (!space.never_used) to_clear.push_back(space);
  std::uint64_t at = range.at.bytes;
  for (std::uint64_t i = 0; i < space.count_mib / block_mib; ++i) {
    auto& [change, before] = plans[i];
    const Space own = {space.first_mib + i * block_mib, block_mib, space.never_used};
    change.place = FileOffset{own.offset()};
    const std::uint64_t length = std::uint64_t{change.sector_count} << geometry().sector_shift;
    const std::uint64_t from = own.offset() + (at & (block_bytes - 1));
    making_.emplace(change.block, Making{own, before});
    const bool added =
        runs.add({Run::Source::kFile, DiskOffset{at}, length, FileOffset{from}}) && ticket.add(change);
    VDISK_ASSERT(added);
    at += length;
  }
  return at - range.at.bytes;
}

void Writer::commit(std::span<const BlockChange> changes) noexcept {
  const MutexLock lock(mutex_);
  for (const BlockChange& change : changes) {
    const std::uint64_t index = geometry().payload_index(change.block);
    const BatEntry now = entry_now(index);
    if (!change.fresh) {
      // A discard that came between has the last word: the place is nobody's any more.
      if (now.payload_state() != PayloadState::kPartiallyPresent || now.file_offset() != change.place.bytes)
        continue;
      payload_first_ = true;
      if (intents_ != nullptr) intents_->record(change);
      if (covers_block(change)) {
        set_entry(index, entry_of(PayloadState::kFullyPresent, change.place.bytes));
      } else {
        set_bits(change.block, change.first_sector, change.sector_count, true);
      }
      continue;
    }
    const auto made = making_.find(change.block);
    VDISK_ASSERT(made != making_.end());
    const auto& [space, before] = made->second;
    const bool showed_parent = geometry().differencing && before.payload_state() == PayloadState::kNotPresent;
    if (!space.never_used || showed_parent) payload_first_ = true;
    const bool partial = becomes_partial(before, change);
    if (partial) {
      // Before the entry says that they count.
      set_bits(change.block, 0, sectors_per_block(), false);
      set_bits(change.block, change.first_sector, change.sector_count, true);
    }
    set_entry(index, entry_of(partial ? PayloadState::kPartiallyPresent : PayloadState::kFullyPresent,
                              change.place.bytes));
    if (intents_ != nullptr) intents_->record(change);
    payload_bytes_.fetch_add(bytes_on_disk(change.block), std::memory_order_relaxed);
    const bool anchored = before.payload_state() == PayloadState::kUndefined ||
                          before.payload_state() == PayloadState::kUnmapped;
    if (anchored && before.file_offset() != 0 && !foreign_anchors_.contains(index)) {
      free_later({before.file_offset() / kMiB, space.count_mib});
    }
    making_.erase(made);
  }
  block_done_.notify_all();
}

void Writer::abandon(std::span<const BlockChange> changes) noexcept {
  const MutexLock lock(mutex_);
  for (const BlockChange& change : changes) {
    if (!change.fresh) continue;
    const auto made = making_.find(change.block);
    VDISK_ASSERT(made != making_.end());
    Space space = made->second.space;
    space.never_used = false;  // Part of the payload may lie there.
    space_.release(space);
    making_.erase(made);
  }
  block_done_.notify_all();
}

// --- Discards ---

/// The end, at most `end`, of what is known to be unused from `at` on; `at` if nothing is.
Result<std::uint64_t> Writer::end_of_unused(std::uint64_t at, std::uint64_t end) {
  const std::uint64_t index = geometry().payload_index(at >> geometry().block_shift);
  if (!PagedTable::is_zero(VDISK_TRY(parts_.bat.page_of(index)))) return at;
  const std::uint64_t next = VDISK_TRY(parts_.bat.next_used_index(index));
  return std::min(geometry().block_from_index(next) << geometry().block_shift, end);
}

Status Writer::discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) {
  VDISK_ASSERT(range.length != 0 && fits_within(range.at.bytes, range.length, geometry().disk_bytes));
  rest.clear();
  VDISK_TRY(ready());
  const std::uint64_t end = range.end();
  std::uint64_t at = range.at.bytes;
  while (at < end) {
    if (!geometry().differencing) {
      at = std::max(at, VDISK_TRY(end_of_unused(at, end)));
      if (at == end) break;
    }
    const std::uint64_t block = at >> geometry().block_shift;
    const std::uint64_t stop = std::min(end, (block + 1) << geometry().block_shift);
    const bool whole = stop - at == bytes_on_disk(block);
    if (whole) {
      VDISK_TRY(bound_dirty());
      VDISK_TRY(discard_block(block, keep_space));
    } else {
      const BatEntry entry = VDISK_TRY(parts_.bat.entry(geometry().payload_index(block)));
      const bool shows_parent = geometry().differencing && entry.payload_state() == PayloadState::kNotPresent;
      bool shows_data = entry.has_payload() || shows_parent;
      if (!shows_data) {
        const MutexLock lock(mutex_);
        shows_data = making_.contains(block);  // Whoever writes it now may be done before the caller.
      }
      if (shows_data) rest.push_back({DiskOffset{at}, stop - at});
    }
    at = stop;
  }
  return {};
}

/// Makes a whole block read as zeros. The state of a dynamic disk's block is NOT_PRESENT, the one it was
/// created in, which every reader shows as zeros (formats.md 2.8); over a parent it must be ZERO, the one
/// state for which MS-VHDX 2.5.1.1 promises zeros. Neither may carry an offset.
Status Writer::discard_block(std::uint64_t block, bool keep_space) {
  const std::uint64_t index = geometry().payload_index(block);
  std::uint64_t zero_at = 0;
  {
    const MutexLock lock(mutex_);
    while (making_.contains(block)) block_done_.wait(mutex_);
    const BatEntry entry = VDISK_TRY(parts_.bat.entry(index));
    const bool shows_parent = geometry().differencing && entry.payload_state() == PayloadState::kNotPresent;
    if (needs_space(entry) && !shows_parent) return {};
    if (is_full(entry) && (keep_space || parts_.leave_allocated)) {
      zero_at = entry.file_offset();
    } else {
      VDISK_TRY(track_bat(index));
      expect_freed(1);
      set_entry(index, entry_of(geometry().differencing ? PayloadState::kZero : PayloadState::kNotPresent));
      if (intents_ != nullptr) intents_->record_discard(block);
      if (entry.has_payload()) {
        free_later({entry.file_offset() / kMiB, geometry().block_bytes / kMiB});
        payload_bytes_.fetch_sub(bytes_on_disk(block), std::memory_order_relaxed);
      }
    }
  }
  if (zero_at == 0) return {};
  // The caller is inside the gate, so the place stays the block's until this is done.
  return parts_.file.zero(FileOffset{zero_at}, geometry().block_bytes);
}

}  // namespace vdisk::vhdx
