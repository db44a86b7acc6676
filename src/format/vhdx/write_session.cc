// SPDX-License-Identifier: Apache-2.0
//
// The writer's beginning, commits and end.
#include <algorithm>
#include <chrono>
#include <new>
#include <thread>

#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/write.h"

namespace vdisk::vhdx {

Status Writer::ready() {
  VDISK_TRY(poison_.check());
  if (started_.load(std::memory_order_acquire)) [[likely]]
    return {};
  const MutexLock lock(session_mutex_);
  VDISK_TRY(poison_.check());
  if (started_.load(std::memory_order_relaxed)) return {};
  if (closed_) {
    return fail(faults::kWriterClosed, "{}: the image was closed; open it again to write",
                parts_.file.name());
  }
  VDISK_TRY(begin_session());
  started_.store(true, std::memory_order_release);
  return {};
}

/// Claims every block in use and judges the entries that were not judged at open.
Status Writer::map_space(SpaceMap& taken, std::uint64_t& payload_bytes) {
  const BatRules& rules = parts_.bat.rules();
  const std::string& name = rules.file_name();
  PartialBlockWatch watch(geometry(), name);
  const auto visit = [&](std::uint64_t index, BatEntry entry) -> Status {
    VDISK_TRY(rules.judge(index, entry));
    VDISK_TRY(watch.visit(index, entry));
    const std::uint64_t length = rules.space_of(index, entry);
    if (length == 0) return {};
    switch (taken.claim(entry.file_offset() / kMiB, length / kMiB)) {
      case SpaceMap::Claim::kFree:
        break;
      case SpaceMap::Claim::kTaken:
        return fail(faults::kBatOverlap,
                    "{}: {} at {:#x} overlaps a block that an earlier entry names; the image can be read but "
                    "not written",
                    name, describe_entry(geometry(), index), entry.file_offset());
      case SpaceMap::Claim::kTooFar:
        return fail(faults::kWriteScattered,
                    "{}: the blocks lie so far apart that the free space cannot be told; convert the image "
                    "to a new file to write",
                    name);
    }
    if (!geometry().is_bitmap_index(index)) {
      payload_bytes += bytes_on_disk(geometry().block_from_index(index));
    }
    return {};
  };
  VDISK_TRY(scan_bat(parts_.file, parts_.bat_region, geometry(), visit));
  return watch.finish();
}

/// Offsets that no reader follows still keep their space (formats.md 2.8): the soft anchors of blocks that
/// were given up, bitmap entries of disks without a parent, entries behind the disk's end. One that lies upon
/// something else keeps nothing.
Status Writer::claim_anchors(SpaceMap& taken) {
  const BatRules& rules = parts_.bat.rules();
  const auto visit = [&](std::uint64_t index, BatEntry entry) -> Status {
    if (entry.file_offset() == 0 || rules.space_of(index, entry) != 0) return {};
    const bool bitmap = geometry().is_bitmap_index(index);
    if (!bitmap && !entry.has_payload() && entry.payload_state() != PayloadState::kUndefined &&
        entry.payload_state() != PayloadState::kUnmapped) {
      return {};
    }
    const std::uint64_t length = bitmap ? kBitmapBlockBytes : geometry().block_bytes;
    if (!rules.place_is_free(entry.file_offset(), length) ||
        taken.claim(entry.file_offset() / kMiB, length / kMiB) != SpaceMap::Claim::kFree) {
      const MutexLock lock(mutex_);
      foreign_anchors_.insert(index);
    }
    return {};
  };
  return scan_bat(parts_.file, parts_.bat_region, geometry(), visit);
}

Status Writer::begin_session() {
  if (headers_.current.log_length == 0) {
    return fail(
        faults::kNoLog,
        "{}: the file has no space for a log, without which it cannot be changed safely; convert it to "
        "a new file",
        parts_.file.name());
  }
  SpaceMap taken;
  std::uint64_t occupied_end = 0;
  const std::uint64_t file_mib = rounded_file_bytes(VDISK_TRY(parts_.file.size())) / kMiB;
  for (const OccupiedSpace::Range& range : parts_.bat.rules().occupied().ranges()) {
    // A region that nobody reads may reach past the end: the file grows behind it.
    const std::uint64_t first = std::min(range.at / kMiB, file_mib);
    taken.claim(first, std::min(divide_up(range.length, kMiB), file_mib - first));
    occupied_end = std::max(occupied_end, range.at + range.length);
  }
  std::uint64_t payload_bytes = 0;
  VDISK_TRY_CONTEXT(map_space(taken, payload_bytes), "before the first change");
  VDISK_TRY_CONTEXT(claim_pending(taken), "taking over what a killed server left");
  VDISK_TRY_CONTEXT(claim_anchors(taken), "before the first change");
  {
    const MutexLock lock(mutex_);
    VDISK_TRY(space_.begin(taken, occupied_end));
    grown();
  }
  VDISK_TRY(journal_.reserve());
  // From here on a failure may have reached the headers.
  if (const Status begun = journal_.begin(); !begun) return poison_.set(begun.error());
  payload_bytes_.store(payload_bytes, std::memory_order_relaxed);
  return {};
}

std::optional<std::uint64_t> Writer::allocated_bytes() const {
  if (!started_.load(std::memory_order_acquire)) return std::nullopt;
  return payload_bytes_.load(std::memory_order_relaxed);
}

// --- Commits ---

Status Writer::bound_dirty() {
  {
    const MutexLock lock(mutex_);
    if (dirty_pages_ < kMostDirtyPages && (intents_ == nullptr || !intents_->nearly_full())) return {};
  }
  return flush();
}

/// Group commit: one caller at a time commits for all that asked before it began.
Status Writer::flush() {
  VDISK_TRY(poison_.check());
  if (!started_.load(std::memory_order_acquire)) return {};  // Nothing was changed.
  std::uint64_t covered = 0;
  {
    const MutexLock lock(flush_mutex_);
    const std::uint64_t mine = ++asked_;
    while (leading_ && answered_ < mine) flushed_.wait(flush_mutex_);
    if (answered_ >= mine) return {};
    if (const Status poisoned = poison_.check(); !poisoned) return poisoned;
    leading_ = true;
    covered = asked_;
  }
  /// The lead is given up whatever happens, exhausted memory included.
  struct Lead {
    Writer& writer;
    std::uint64_t covered;
    bool done = false;
    ~Lead() {
      const MutexLock lock(writer.flush_mutex_);
      writer.leading_ = false;
      if (done) writer.answered_ = std::max(writer.answered_, covered);
      writer.flushed_.notify_all();
    }
  } lead{*this, covered};
  Status committed;
  try {
    committed = commit_dirty();
  } catch (const std::bad_alloc&) {
    // The pages count as committed already: what memory shows may not reach the file any more.
    committed = fail(vdisk::faults::kMemory, "{}: no memory to commit", parts_.file.name());
  }
  if (!committed) return poison_.set(committed.error());
  lead.done = true;
  return {};
}

Status Writer::commit_dirty() {
  std::vector<LoggedPage> pages;
  bool payload_first = false;
  std::uint64_t commit = 0;
  std::uint64_t used_end = 0;
  std::uint64_t intended = 0;
  {
    const MutexLock lock(mutex_);
    pages.reserve(dirty_pages_);
    // In the order of PageKey, which is the one that lets any first part stand alone.
    for (auto& [key, tracked] : pages_) {
      if (!tracked.dirty) continue;
      LoggedPage& copy = pages.emplace_back();
      copy.file_offset = tracked.file_offset;
      std::ranges::copy(tracked.page->bytes, copy.page.bytes);
      tracked.dirty = false;
    }
    dirty_pages_ = 0;
    payload_first = std::exchange(payload_first_, false);
    commit = next_commit_++;
    used_end = space_.used_end_bytes();
    if (intents_ != nullptr) intended = intents_->position();
  }
  // The payload of every change in the copy was written before the copy was taken.
  if (payload_first && !pages.empty()) {
    VDISK_TRY_CONTEXT(journal_.flush(), "flushing payload before it is exposed");
  }
  VDISK_TRY(journal_.commit(pages, used_end));
  if (intents_ != nullptr) intents_->forget_before(intended);
  release_freed(commit);
  return {};
}

/// Space that nothing refers to, neither on stable storage nor in anyone's hands, goes back to the host and
/// may be handed out again.
void Writer::release_freed(std::uint64_t durable_commit) {
  std::vector<Freed> free;
  {
    const MutexLock lock(mutex_);
    parts_.gate.try_advance();
    const auto kept = std::partition(freed_.begin(), freed_.end(), [&](const Freed& freed) {
      return freed.commit > durable_commit || !parts_.gate.ended(freed.epoch);
    });
    free.assign(kept, freed_.end());
    freed_.erase(kept, freed_.end());
  }
  for (const Freed& freed : free) {
    // A host that cannot take it back keeps it; whoever hands the space out clears it, and reports failures.
    static_cast<void>(parts_.file.punch(FileOffset{freed.space.offset()}, freed.space.bytes()));
  }
  const MutexLock lock(mutex_);
  for (const Freed& freed : free) space_.release(freed.space);
}

void Writer::wait_for_io() {
  const std::uint64_t epoch = parts_.gate.epoch();
  for (;;) {
    {
      const MutexLock lock(mutex_);
      parts_.gate.try_advance();
    }
    if (parts_.gate.ended(epoch)) return;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

Status Writer::close() {
  const MutexLock lock(session_mutex_);
  if (closed_) return {};
  closed_ = true;
  VDISK_TRY(poison_.check());
  if (!started_.load(std::memory_order_acquire)) return {};
  wait_for_io();
  VDISK_TRY(flush());
  if (const Status finished = journal_.finish(); !finished) return poison_.set(finished.error());
  started_.store(false, std::memory_order_release);
  release_freed(~std::uint64_t{0});  // Everything is committed, and nobody is inside.
  std::uint64_t end = 0;
  {
    const MutexLock tables(mutex_);
    end = space_.used_end_bytes();
  }
  if (VDISK_TRY(parts_.file.size()) > end) {
    // The log is empty: nothing remembers the longer file (formats.md 2.7).
    VDISK_TRY_CONTEXT(parts_.file.resize(end), "cutting the file to its last block");
    VDISK_TRY_CONTEXT(parts_.file.flush(), "cutting the file to its last block");
  }
  return {};
}

}  // namespace vdisk::vhdx
