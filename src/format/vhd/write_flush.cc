// SPDX-License-Identifier: Apache-2.0
//
// Flushes: what was committed goes to the file in the order that a crash may interrupt anywhere. Calls that
// come together are served together.
#include <algorithm>
#include <bit>
#include <new>

#include "base/checked.h"
#include "format/vhd/write.h"

namespace vdisk::vhd {

namespace {
constexpr std::uint64_t kSectorEntries = kSectorBytes / sizeof(std::uint32_t);
constexpr std::size_t kMostPieceBytes = 64 * 1024;
}  // namespace

Status Writer::flush() {
  VDISK_TRY(poison_.check());
  // Nothing was written here, but what a session that was killed wrote may still be on its way.
  if (!begun_.load(std::memory_order_acquire)) return flush_file();
  {
    const MutexLock lock(mutex_);
    const std::uint64_t mine = flushes_started_ + 1;
    while (flushes_ended_ < mine && flushes_started_ != flushes_ended_) flushed_.wait(mutex_);
    VDISK_TRY(poison_.check());
    if (flushes_ended_ >= mine) return {};
    ++flushes_started_;
  }
  Status status = run_flush();
  // Of a batch that did not get through, nobody knows what is there.
  if (!status) status = poison_.set(std::move(status).error());
  const MutexLock lock(mutex_);
  flushes_ended_ = flushes_started_;
  flushed_.notify_all();
  return status;
}

Status Writer::run_flush() try {
  if (fixed()) return flush_file();
  Batch batch;
  {
    const MutexLock lock(mutex_);
    batch = take_batch();
  }
  if (batch.payload_first) VDISK_TRY(flush_file());
  VDISK_TRY(write_batch(batch));
  VDISK_TRY(flush_file());
  if (intents_ != nullptr) intents_->forget_before(batch.intended);
  {
    const MutexLock lock(mutex_);
    allocator_.settle(batch.freed);
    for (const std::uint64_t place : batch.punched) allocator_.add_free(place);
  }
  recycle();
  return {};
} catch (const std::bad_alloc&) {
  return fail(vdisk::faults::kMemory, "{}: no memory for a flush", file_.name());
}

/// Copies, because tickets that commit from now on change the originals, and their payload is not covered by
/// the flush that comes first.
Writer::Batch Writer::take_batch() {
  Batch batch;
  batch.payload_first = payload_first_;
  if (intents_ != nullptr) batch.intended = intents_->position();
  for (const std::uint64_t block : dirty_bitmaps_) {
    const std::uint32_t sector = table_->peek(block);
    if (sector == kUnallocated) continue;  // freed meanwhile
    Stored stored{FileOffset{std::uint64_t{sector} * kSectorBytes},
                  std::vector<std::byte>(parsed_.bitmap_bytes)};
    bitmaps_->copy_stored(block, stored.bytes);
    batch.bitmaps.push_back(std::move(stored));
  }
  take_table_sectors(batch);
  batch.freed = allocator_.take_freed();
  batch.punched = allocator_.take_punched();
  dirty_bitmaps_.clear();
  // Cleared lists keep their capacity, but what tickets were promised counts from here.
  payload_first_ = false;
  dirty_bytes_.store(0, std::memory_order_relaxed);
  allocator_.reserve(open_changes_);
  return batch;
}

void Writer::take_table_sectors(Batch& batch) {
  for (std::size_t word = 0; word < dirty_table_.size(); ++word) {
    for (; dirty_table_[word] != 0; dirty_table_[word] &= dirty_table_[word] - 1) {
      const std::uint64_t sector =
          word * 64 + static_cast<std::uint64_t>(std::countr_zero(dirty_table_[word]));
      const std::uint64_t first = sector * kSectorEntries;
      // Entries past the disk's end stay as they are.
      const std::uint64_t count = std::min(kSectorEntries, parsed_.block_count - first);
      const std::uint64_t at = parsed_.header->table_offset + first * sizeof(std::uint32_t);
      const bool continues = !batch.table.empty() && batch.table.back().bytes.size() < kMostPieceBytes &&
                             batch.table.back().at.bytes + batch.table.back().bytes.size() == at;
      if (!continues) batch.table.push_back({FileOffset{at}, {}});
      std::vector<std::byte>& bytes = batch.table.back().bytes;
      bytes.resize(bytes.size() + count * sizeof(std::uint32_t));
      table_->copy_stored(first, std::span(bytes).last(count * sizeof(std::uint32_t)));
    }
  }
}

Status Writer::write_batch(const Batch& batch) {
  for (const Stored& stored : batch.bitmaps) VDISK_TRY(file_.write(stored.at, stored.bytes));
  for (const Stored& stored : batch.table) VDISK_TRY(file_.write(stored.at, stored.bytes));
  return {};
}

/// Empties places whose last user has gone. The next flush makes that durable, and them free.
void Writer::recycle() {
  std::vector<std::uint64_t> places;
  {
    const MutexLock lock(mutex_);
    if (!allocator_.any_settled()) return;
    gate_.try_advance();
    gate_.try_advance();
    places = allocator_.take_unreachable(gate_);
  }
  for (const std::uint64_t place : places) {
    if (!file_.punch(FileOffset{place}, rules_.length())) continue;  // a leak, and no harm
    const MutexLock lock(mutex_);
    allocator_.add_punched(place);
  }
}

}  // namespace vdisk::vhd
