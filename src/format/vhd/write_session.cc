// SPDX-License-Identifier: Apache-2.0
//
// What frames the writes: the first write's examination and repairs, the file's growth, the clean end.
#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "format/vhd/create.h"
#include "format/vhd/faults.h"
#include "format/vhd/write.h"

namespace vdisk::vhd {

namespace {

bool same(const Footer& a, const Footer& b) noexcept { return std::ranges::equal(bytes_of(a), bytes_of(b)); }

/// The footer that the session writes. Time stamps stay: the VHD spec calls them the time of creation, and
/// whether Windows refreshes them is unverified (formats.md 1.11).
Footer session_footer(const Parsed& parsed) noexcept {
  Footer footer = *parsed.footer;
  if (parsed.batmap) {
    // Xen trusts its batmap where it made the file itself, and we do not keep the map (formats.md 1.17).
    set_creator(footer);
    footer.checksum = checksum_of(footer);
  }
  return footer;
}

/// Reads the whole table: every entry is judged, and no two blocks may share bytes.
Result<std::vector<std::uint64_t>> read_placed(File& file, const Parsed& parsed, const Limits& limits) {
  constexpr std::size_t kChunkEntries = 16 * 1024;
  std::vector<Be<std::uint32_t>> chunk(kChunkEntries);
  std::vector<std::uint64_t> placed;
  for (std::uint64_t first = 0; first < parsed.block_count; first += kChunkEntries) {
    const auto entries =
        std::span(chunk).first(std::min<std::uint64_t>(kChunkEntries, parsed.block_count - first));
    VDISK_TRY(read_exactly(file, FileOffset{parsed.header->table_offset + first * sizeof(std::uint32_t)},
                           std::as_writable_bytes(entries)));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i] == kUnallocated) continue;
      const EntryVerdict verdict = judge_entry(parsed, first + i, entries[i]);
      if (verdict.flaw == EntryFlaw::kRange || verdict.flaw == EntryFlaw::kMetadata) {
        return fail_entry(file, parsed, first + i, entries[i], verdict);
      }
      placed.push_back(placed_block(first + i, entries[i]));
    }
    if (placed.size() * sizeof(std::uint64_t) > limits.table_bytes) {
      return fail(vdisk::faults::kMemory,
                  "{}: the map of all blocks would exceed the limit of {} cached bytes; raise "
                  "Limits::table_bytes",
                  file.name(), limits.table_bytes);
    }
  }
  VDISK_TRY(refuse_overlaps(file, parsed, placed));
  return placed;
}

}  // namespace

Status Writer::write_footer(std::uint64_t at) { return file_.write(FileOffset{at}, bytes_of(footer_)); }

Status Writer::begin() {
  if (begun_.load(std::memory_order_acquire)) [[likely]]
    return {};
  const MutexLock session(session_mutex_);
  if (begun_.load(std::memory_order_acquire)) return {};
  footer_ = session_footer(parsed_);
  if (!fixed()) VDISK_TRY(map_file());
  VDISK_TRY(repair_footers());
  begun_.store(true, std::memory_order_release);
  return {};
}

Status Writer::map_file() {
  std::vector<std::uint64_t> placed = VDISK_TRY(read_placed(file_, parsed_, limits_));
  if (!pending_.empty()) VDISK_TRY_CONTEXT(place_pending(placed), "taking over what a killed server left");
  SpaceMap space = map_space(parsed_, rules_, placed);
  const MutexLock grow(grow_mutex_);
  const MutexLock lock(mutex_);
  blocks_left_ = parsed_.block_count - space.allocated_blocks;
  space_ = std::move(space);
  const std::uint64_t table_sectors = divide_up(parsed_.block_count * sizeof(std::uint32_t), kSectorBytes);
  dirty_table_.assign(divide_up(table_sectors, 64), 0);
  return {};
}

// One copy is good at every instant: the bad one is written from it and flushed before the good one is
// touched (formats.md 6, cases 2 to 4).
Status Writer::repair_footers() {
  const Footers& footers = parsed_.footers;
  const MutexLock grow(grow_mutex_);
  const auto put = [&](std::uint64_t at) -> Status {
    VDISK_TRY(write_footer(at));
    return flush_file();
  };
  const bool end_counts = footers.chosen_place != FooterPlace::kFront;
  const bool front_right = fixed() || (footers.front.good() && same(footers.front.footer, footer_));
  const bool end_right = footers.chosen_place == FooterPlace::kEnd && same(footers.end.footer, footer_);
  // Beside a damaged footer at the end lie no blocks behind it; where none is, blocks may reach the file's
  // end.
  const bool in_place = end_counts || (footers.end_place == FooterPlace::kEnd &&
                                       is_multiple(footers.end.at.bytes, kSectorBytes));
  footer_at_ = in_place ? footers.end.at.bytes : round_up(footers.file_bytes, kSectorBytes);
  if (end_counts && !front_right) VDISK_TRY(put(0));
  if (!end_right) VDISK_TRY(put(footer_at_));
  if (!end_counts && !front_right) VDISK_TRY(put(0));
  return {};
}

Status Writer::make_space() {
  const MutexLock grow_lock(grow_mutex_);
  {
    const MutexLock lock(mutex_);
    if (allocator_.has_place()) return {};  // someone else made some
  }
  VDISK_TRY(poison_.check());
  if (!allocating_) {
    VDISK_TRY(clear_unused());
    const MutexLock lock(mutex_);
    if (allocator_.has_place()) return {};
  }
  return grow();
}

/// What nothing refers to may hold anything: the payload of writes before a crash, blocks that were freed.
/// Once it is empty for good, blocks may be put there.
Status Writer::clear_unused() {
  for (const std::uint64_t place : space_.gaps) VDISK_TRY(file_.punch(FileOffset{place}, rules_.length()));
  const std::uint64_t tail = rules_.place_from(space_.tail);
  const bool room = !space_.gaps.empty() || fits_within(tail, rules_.length(), footer_at_);
  if (space_.tail < footer_at_) VDISK_TRY(file_.punch(FileOffset{space_.tail}, footer_at_ - space_.tail));
  if (room) VDISK_TRY(flush_file());  // else the flush of the growth does
  const MutexLock lock(mutex_);
  allocator_.set_tail(tail, footer_at_);
  for (const std::uint64_t place : space_.gaps) allocator_.add_free(place);
  space_ = {};
  allocating_ = true;
  return {};
}

Status Writer::grow() {
  if (!stale_footer_) {
    // From the footer's place on, not from the last block: so that the footer's bytes lie before the next
    // block or in its bitmap, and never among its data.
    const std::uint64_t base = rules_.place_from(footer_at_);
    if (base / kSectorBytes >= kUnallocated) {
      return fail(
          faults::kFull,
          "{}: the next block would lie at {:#x}, and the block table reaches only up to 2 TiB; copy the "
          "disk to a VHDX",
          file_.name(), base);
    }
    std::uint64_t left = 0;
    {
      const MutexLock lock(mutex_);
      left = std::max<std::uint64_t>(blocks_left_, 1);
    }
    const std::uint64_t wanted = std::clamp(base, growth_.least_bytes, growth_.most_bytes) / rules_.stride();
    const std::uint64_t blocks = std::clamp<std::uint64_t>(wanted, 1, left);
    const std::uint64_t stale = footer_at_;
    Status grown = put_footer_beyond(base + blocks * rules_.stride());
    // A host with a limit on sizes, or without sparse files, may have room for one block still.
    if (!grown && blocks > 1 && poison_.check()) grown = put_footer_beyond(base + rules_.stride());
    VDISK_TRY(std::move(grown));
    stale_footer_ = stale;
  }
  const std::array<std::byte, kFooterBytes> nothing{};
  VDISK_TRY(file_.write(FileOffset{*stale_footer_}, nothing));
  const MutexLock lock(mutex_);
  allocator_.set_tail(rules_.place_from(*stale_footer_), footer_at_);
  stale_footer_.reset();
  return {};
}

Status Writer::put_footer_beyond(std::uint64_t end) {
  const std::uint64_t at = PlaceRules::footer_from(end);
  Status written = write_footer(at);
  if (!written) {
    // Half a write can leave a file that does not end in a footer: back to where it did.
    Status undone = file_.resize(footer_at_ + kFooterBytes);
    if (!undone) return poison_.set(std::move(written).error());
    return written;
  }
  VDISK_TRY(flush_file());
  footer_at_ = at;
  return {};
}

Status Writer::close() {
  if (closed_.exchange(true)) return {};
  VDISK_TRY(flush());
  if (fixed() || !begun_.load(std::memory_order_acquire)) return {};
  const MutexLock grow_lock(grow_mutex_);
  if (!allocating_) {
    {
      const MutexLock lock(mutex_);
      if (!any_freed_) return {};
    }
    VDISK_TRY(clear_unused());
  }
  return shrink();
}

/// Gives what lies between the last block and the footer back to the host. REQUIRES: all is flushed.
Status Writer::shrink() {
  std::uint64_t at = 0;
  {
    const MutexLock lock(mutex_);
    // Emptied or not: nothing will be put there any more.
    for (const std::uint64_t place : allocator_.take_punched()) allocator_.add_free(place);
    at = PlaceRules::footer_from(allocator_.shrink());
  }
  if (at + kFooterBytes > footer_at_) return {};
  // Both footers are right at each instant: the one at the end goes only when the other is there for good.
  VDISK_TRY(write_footer(at));
  VDISK_TRY(flush_file());
  VDISK_TRY(file_.resize(at + kFooterBytes));
  VDISK_TRY(flush_file());
  footer_at_ = at;
  return {};
}

}  // namespace vdisk::vhd
