// SPDX-License-Identifier: Apache-2.0
//
// The writing half of an open VHD: new blocks, sector bits, freed blocks, and the one order in which they
// reach the file so that it is readable at every instant (formats.md 1.14; docs/durability.md says what a
// crash can cost).
//
// The file grows ahead of its blocks: a footer is written at the new end and flushed, while the copy at the
// front keeps the disk readable; only then is the old footer's place handed out. What lies between the last
// block and the footer therefore always reads as zeros, after a crash too. So a new block of a dynamic disk
// needs no flush of its own: whichever of bitmap, payload and BAT entry survive, its sectors show zeros or
// what was written. Everything else (the sectors of a differencing disk; sectors of a dynamic disk that a
// bitmap hides) is made visible only after its payload was flushed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "base/poison.h"
#include "format/image.h"
#include "format/intent_memory.h"
#include "format/vhd/allocator.h"
#include "format/vhd/block_bitmaps.h"
#include "format/vhd/block_table.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

/// How far the file grows ahead: at least so much, at most so much, in between by as much as it holds.
struct Growth {
  std::uint64_t least_bytes = std::uint64_t{256} << 20;
  std::uint64_t most_bytes = std::uint64_t{8} << 30;
};

/// Thread rule: all members, any thread. Order of the locks: session_mutex_, grow_mutex_, mutex_; mutex_ is
/// held over no I/O, none over payload.
class Writer final : public WriteTicket::Owner {
 public:
  /// What a writer works on; all of it outlives the writer. `table` and `bitmaps` are null for fixed images.
  struct Parts {
    File& file;
    const Parsed& parsed;
    BlockTable* table;
    BlockBitmaps* bitmaps;
    IoGate& gate;
    const Limits& limits;
  };
  explicit Writer(const Parts& parts, const Growth& growth = {});

  // As the members of Image.
  Result<WriteTicket> resolve(DiskRange range, RunList& runs);
  Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest);
  Status flush();
  Status close();
  Status keep_intents(IntentMemory& memory);

  void commit(std::span<const BlockChange> changes) noexcept override;
  void abandon(std::span<const BlockChange> changes) noexcept override;

  /// Bitmaps and BAT sectors that wait for a flush are bounded: past this, the next write flushes.
  static constexpr std::uint64_t kMostDirtyBytes = std::uint64_t{4} << 20;

 private:
  /// A part of a block that a write covers.
  struct Piece {
    std::uint64_t block = 0;
    std::uint64_t at = 0, end = 0;  ///< On the disk.
    std::uint32_t first_sector = 0, sector_count = 0;
    bool whole = false;  ///< Every sector of the block that the disk has.
  };
  struct Stored {
    FileOffset at;
    std::vector<std::byte> bytes;
  };
  /// What one flush makes durable, as it was at one moment.
  struct Batch {
    std::vector<Stored> bitmaps;
    std::vector<Stored> table;
    std::vector<Freed> freed;
    std::vector<std::uint64_t> punched;
    bool payload_first = false;
    std::uint64_t intended = 0;  ///< IntentMemory::position() of that moment.
  };

  bool fixed() const noexcept { return table_ == nullptr; }
  std::uint64_t disk_bytes() const noexcept { return parsed_.properties.geometry.virtual_size_bytes; }
  std::uint32_t sectors_of(std::uint64_t block) const noexcept;
  Piece piece_of(std::uint64_t at, std::uint64_t end) const noexcept;
  FileOffset data_at(std::uint32_t sector) const noexcept {
    return FileOffset{std::uint64_t{sector} * kSectorBytes + parsed_.bitmap_bytes};
  }

  // write.cc
  Status flush_file() VDISK_EXCLUDES(mutex_);
  Result<bool> resolve_piece(const Piece& piece, WriteTicket& ticket, RunList& runs);
  Result<std::optional<std::uint64_t>> make_block(const Piece& piece, bool may_wait);
  Result<std::optional<std::uint64_t>> claim(const Piece& piece, bool may_wait, bool& stop)
      VDISK_EXCLUDES(mutex_);
  Status discard_block(const Piece& piece, bool keep_space, std::vector<DiskRange>& rest);
  Status free_block(std::uint64_t block) VDISK_EXCLUDES(mutex_);
  void reserve_change() VDISK_REQUIRES(mutex_);
  void mark_table(std::uint64_t block) noexcept VDISK_REQUIRES(mutex_);
  void mark_bitmap(std::uint64_t block) noexcept VDISK_REQUIRES(mutex_);

  // write_adopt.cc: what a killed writer left
  Status place_pending(std::vector<std::uint64_t>& placed);
  Status adopt(const PendingBlock& pending) VDISK_EXCLUDES(mutex_);
  Result<std::vector<BlockChange>> prepare_adoption(const PendingBlock& pending) VDISK_EXCLUDES(mutex_);

  // write_session.cc
  Status begin() VDISK_EXCLUDES(session_mutex_);
  Status map_file() VDISK_REQUIRES(session_mutex_);
  Status repair_footers() VDISK_REQUIRES(session_mutex_) VDISK_EXCLUDES(grow_mutex_);
  Status write_footer(std::uint64_t at);
  Status make_space() VDISK_EXCLUDES(grow_mutex_, mutex_);
  Status clear_unused() VDISK_REQUIRES(grow_mutex_) VDISK_EXCLUDES(mutex_);
  Status grow() VDISK_REQUIRES(grow_mutex_) VDISK_EXCLUDES(mutex_);
  Status put_footer_beyond(std::uint64_t at) VDISK_REQUIRES(grow_mutex_) VDISK_EXCLUDES(mutex_);
  Status shrink() VDISK_REQUIRES(grow_mutex_) VDISK_EXCLUDES(mutex_);

  // write_flush.cc
  Status run_flush() VDISK_EXCLUDES(mutex_);
  Batch take_batch() VDISK_REQUIRES(mutex_);
  void take_table_sectors(Batch& batch) VDISK_REQUIRES(mutex_);
  Status write_batch(const Batch& batch);
  void recycle() VDISK_EXCLUDES(mutex_);

  File& file_;
  const Parsed& parsed_;
  BlockTable* const table_;
  BlockBitmaps* const bitmaps_;
  IoGate& gate_;
  const Limits& limits_;
  const Growth growth_;
  const bool differencing_;
  const std::uint32_t block_shift_;
  const PlaceRules rules_;
  std::vector<PendingBlock> pending_;  // taken over while the session begins; then empty
  IntentMemory* intents_ = nullptr;    // set before the first write, or never

  Mutex session_mutex_;
  std::atomic<bool> begun_{false};
  std::atomic<bool> closed_{false};
  Footer footer_{};  // of this session; constant once it began

  Mutex grow_mutex_;
  std::uint64_t footer_at_ VDISK_GUARDED_BY(grow_mutex_) = 0;
  std::optional<std::uint64_t> stale_footer_
      VDISK_GUARDED_BY(grow_mutex_);  // to be zeroed before its place is used
  bool allocating_ VDISK_GUARDED_BY(grow_mutex_) = false;
  SpaceMap space_ VDISK_GUARDED_BY(grow_mutex_);

  Mutex mutex_;
  Poison poison_;
  Allocator allocator_ VDISK_GUARDED_BY(mutex_);
  bool any_freed_ VDISK_GUARDED_BY(mutex_) = false;
  std::uint64_t blocks_left_ VDISK_GUARDED_BY(mutex_) = 0;  // not in the file, and not being made
  std::unordered_set<std::uint64_t> making_ VDISK_GUARDED_BY(mutex_);
  std::condition_variable_any made_;                                   // a block left making_
  std::size_t open_changes_ VDISK_GUARDED_BY(mutex_) = 0;              // of tickets that did not end
  std::vector<std::uint64_t> dirty_table_ VDISK_GUARDED_BY(mutex_);    // one bit for each sector of the table
  std::vector<std::uint64_t> dirty_bitmaps_ VDISK_GUARDED_BY(mutex_);  // blocks
  bool payload_first_ VDISK_GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> dirty_bytes_{0};

  // Flushes are numbered; a call is served by one that starts after it came.
  std::uint64_t flushes_started_ VDISK_GUARDED_BY(mutex_) = 0;
  std::uint64_t flushes_ended_ VDISK_GUARDED_BY(mutex_) = 0;
  std::condition_variable_any flushed_;
};

}  // namespace vdisk::vhd
