// SPDX-License-Identifier: Apache-2.0
//
// The writing half of a VHDX image: from a ticket to the log. What is allocated and changed lives in the
// table pages in memory (bat.h, sector_bitmap.h), which readers use as they are; flush() takes a copy of the
// changed pages and hands it to the journal.
//
// Why any first part of a commit is a sound image. The pages of one commit may need several log entries, and
// a crash keeps a first part of them. Sector bitmap pages go first, then BAT pages from the last to the
// first:
// - bits of a block that is not partially present mean nothing, and bits of one that is are only ever set,
//   after their sectors were written;
// - a chunk's bitmap entry lies behind its payload entries, so it never comes later than they do;
// - freed space is handed out again only when the commit that freed it is durable, so no entry of a commit
//   names space that another entry of it still holds.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/io_gate.h"
#include "base/mutex.h"
#include "base/poison.h"
#include "format/image.h"
#include "format/intent_memory.h"
#include "format/vhdx/allocator.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/header.h"
#include "format/vhdx/journal.h"
#include "format/vhdx/sector_bitmap.h"

namespace vdisk::vhdx {

/// What the writer shares with the image that it belongs to.
struct WriterParts {
  File& file;
  const Region& bat_region;
  Bat& bat;
  SectorBitmaps* bitmaps;  ///< Of differencing disks, else null.
  IoGate& gate;
  std::atomic<std::uint64_t>& file_bytes;  ///< Grows with the file.
  bool leave_allocated;                    ///< LeaveBlockAllocated: blocks never lose their space.
};

/// Thread rule: all members, any thread. Locks, in order: the session's, the flush queue's, the tables'. None
/// is held while payload moves or while the file is flushed for a commit.
class Writer final : public WriteTicket::Owner {
 public:
  Writer(const WriterParts& parts, Headers headers);

  Result<WriteTicket> resolve(DiskRange range, RunList& runs);
  Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest);
  Status flush();
  Status close();
  Status keep_intents(IntentMemory& memory);
  /// Bytes of payload blocks, once a session has begun (before, the file tells).
  std::optional<std::uint64_t> allocated_bytes() const;

  void commit(std::span<const BlockChange> changes) noexcept override;
  void abandon(std::span<const BlockChange> changes) noexcept override;

 private:
  /// Changed pages beyond this are committed without being asked for.
  static constexpr std::size_t kMostDirtyPages = 4 * kMiB / PagedTable::kPageBytes;

  /// A table page that this session has changed or is about to.
  struct TrackedPage {
    PagedTable::Page* page = nullptr;
    std::uint64_t file_offset = 0;
    bool dirty = false;
  };
  enum class Table : std::uint8_t { kBitmap, kBat };
  /// Orders pages as a commit writes them.
  struct PageKey {
    Table table;
    std::uint64_t number;
    bool operator<(const PageKey& other) const noexcept {
      if (table != other.table) return table < other.table;
      return table == Table::kBat ? number > other.number : number < other.number;
    }
  };
  /// A block that a ticket is making.
  struct Making {
    Space space;
    BatEntry before;
  };
  /// Space that nothing in memory refers to any more, but perhaps a reader, a writer or the file does.
  struct Freed {
    Space space;
    std::uint64_t commit;  ///< Number of the commit that makes it durable.
    std::uint64_t epoch;   ///< The I/O that may still use it.
  };

  const BatGeometry& geometry() const noexcept { return parts_.bat.geometry(); }
  std::uint64_t sectors_per_block() const noexcept {
    return std::uint64_t{1} << (geometry().block_shift - geometry().sector_shift);
  }
  /// How much of the block lies on the disk.
  std::uint64_t bytes_on_disk(std::uint64_t block) const noexcept;

  // The session (write_session.cc).
  Status ready() VDISK_EXCLUDES(session_mutex_);
  Status begin_session() VDISK_REQUIRES(session_mutex_) VDISK_EXCLUDES(mutex_);
  Status map_space(SpaceMap& taken, std::uint64_t& payload_bytes);
  Status claim_anchors(SpaceMap& taken) VDISK_EXCLUDES(mutex_);

  // What a killed writer left (write_adopt.cc).
  Status claim_pending(SpaceMap& taken);
  Status adopt(const PendingBlock& pending) VDISK_EXCLUDES(mutex_);
  Result<std::vector<BlockChange>> prepare_adoption(const PendingBlock& pending) VDISK_EXCLUDES(mutex_);

  // Tickets and discards (write.cc).
  Result<std::uint64_t> add_present(DiskRange range, RunList& runs);
  Result<std::optional<WriteTicket>> allocate(DiskRange range, RunList& runs);
  Status take_blocks(DiskRange range, RunList& runs, WriteTicket& ticket, std::vector<Space>& to_clear)
      VDISK_REQUIRES(mutex_);
  Result<std::uint64_t> take_partial(DiskRange piece, BatEntry entry, RunList& runs, WriteTicket& ticket)
      VDISK_REQUIRES(mutex_);
  Result<std::uint64_t> take_fresh(DiskRange range, RunList& runs, WriteTicket& ticket,
                                   std::vector<Space>& to_clear) VDISK_REQUIRES(mutex_);
  Result<std::uint64_t> count_fresh(std::uint64_t block, std::uint64_t most) VDISK_REQUIRES(mutex_);
  bool becomes_partial(BatEntry before, const BlockChange& change) const noexcept;
  bool covers_block(const BlockChange& change) const noexcept;
  Status ensure_bitmap(std::uint64_t block) VDISK_REQUIRES(mutex_);
  Status track(PageKey key) VDISK_REQUIRES(mutex_);
  Status track_bat(std::uint64_t index) VDISK_REQUIRES(mutex_);
  Status track_bits(std::uint64_t block, std::uint64_t first_sector, std::uint64_t count)
      VDISK_REQUIRES(mutex_);
  void set_entry(std::uint64_t index, BatEntry entry) VDISK_REQUIRES(mutex_);
  void set_bits(std::uint64_t block, std::uint64_t first_sector, std::uint64_t count, bool value)
      VDISK_REQUIRES(mutex_);
  void mark_dirty(TrackedPage& page) VDISK_REQUIRES(mutex_);
  void free_later(const Space& space) VDISK_REQUIRES(mutex_);
  /// So that free_later can do no wrong: room for so many more.
  void expect_freed(std::size_t count) VDISK_REQUIRES(mutex_);
  BatEntry entry_now(std::uint64_t index) VDISK_REQUIRES(mutex_);
  void grown() VDISK_REQUIRES(mutex_);
  Status discard_block(std::uint64_t block, bool keep_space) VDISK_EXCLUDES(mutex_);
  Result<std::uint64_t> end_of_unused(std::uint64_t at, std::uint64_t end);

  // Commits (write_session.cc).
  Status bound_dirty() VDISK_EXCLUDES(mutex_, flush_mutex_);
  Status commit_dirty() VDISK_EXCLUDES(mutex_, flush_mutex_);
  void release_freed(std::uint64_t durable_commit) VDISK_EXCLUDES(mutex_);
  void wait_for_io() VDISK_EXCLUDES(mutex_);

  const WriterParts parts_;
  Headers headers_;
  Journal journal_;
  std::vector<PendingBlock> pending_;  ///< Taken over while the session begins; then empty.
  IntentMemory* intents_ = nullptr;    ///< Set before the first write, or never.

  Mutex session_mutex_;
  std::atomic<bool> started_{false};
  bool closed_ VDISK_GUARDED_BY(session_mutex_) = false;

  Poison poison_;

  Mutex flush_mutex_;
  std::condition_variable_any flushed_;
  std::uint64_t asked_ VDISK_GUARDED_BY(flush_mutex_) = 0;     ///< Flushes asked for.
  std::uint64_t answered_ VDISK_GUARDED_BY(flush_mutex_) = 0;  ///< Those up to this number are done.
  bool leading_ VDISK_GUARDED_BY(flush_mutex_) = false;        ///< Somebody commits; the journal is his.

  mutable Mutex mutex_;
  std::condition_variable_any block_done_;
  SpaceAllocator space_ VDISK_GUARDED_BY(mutex_);
  std::map<std::uint64_t, Making> making_ VDISK_GUARDED_BY(mutex_);
  std::map<PageKey, TrackedPage> pages_ VDISK_GUARDED_BY(mutex_);
  std::size_t dirty_pages_ VDISK_GUARDED_BY(mutex_) = 0;
  /// Committed changes expose payload over bytes that were not zeros before, or that were another block's.
  bool payload_first_ VDISK_GUARDED_BY(mutex_) = false;
  std::vector<Freed> freed_ VDISK_GUARDED_BY(mutex_);
  std::uint64_t next_commit_ VDISK_GUARDED_BY(mutex_) = 1;
  std::set<std::uint64_t> foreign_anchors_ VDISK_GUARDED_BY(mutex_);  ///< Entries whose anchor is not theirs.
  std::set<std::uint64_t> reserved_ VDISK_GUARDED_BY(mutex_);         ///< 64 KiB pieces whose space is there.
  std::atomic<std::uint64_t> payload_bytes_{0};
};

}  // namespace vdisk::vhdx
