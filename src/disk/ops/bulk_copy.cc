// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/bulk_copy.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/mutex.h"
#include "disk/guarded.h"
#include "disk/impl.h"
#include "disk/ops/shared_files.h"
#include "io/direct_writer.h"
#include "io/share.h"

namespace vdisk::ops {

namespace {

/// Blocks are shared in pieces of this size: cancellation is looked at between them.
constexpr std::uint64_t kSharedPieceBytes = 64 * kMiB;
/// What need not be copied, if shorter than this, is looked at together with what lies around it.
constexpr std::uint64_t kShortestSkipBytes = 32 * kKiB;

class BulkCopy {
 public:
  BulkCopy(const BulkCopyJob& job, const OperationControl& control, SharedFiles shared)
      : job_(job),
        control_(control),
        shared_(std::move(shared)),
        size_(job.content.size()),
        parent_size_(job.parent == nullptr ? 0 : job.parent->geometry().virtual_size_bytes),
        meter_(control, job.content.size()),
        target_(job.target),
        walk_(job.content) {
    if (job.parent != nullptr) parent_walk_.emplace(*job.parent, parent_size_);
  }

  Status run() {
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < job_.jobs; ++i) {
      try {
        threads.emplace_back([this] { work_and_tell(false); });
      } catch (const std::system_error&) {
        break;  // fewer do as well
      } catch (const std::bad_alloc&) {
        break;
      }
    }
    work_and_tell(true);
    for (std::thread& thread : threads) thread.join();
    if (std::optional<Error> failure = take_failure()) return std::unexpected(*std::move(failure));
    meter_.advance(size_);
    return {};
  }

 private:
  /// What one thread takes on at a time.
  struct Piece {
    std::uint64_t turn = 0;
    DiskRange range;
    std::optional<Extent> whence;  ///< Set: the bytes are to be shared with this extent's file.
  };
  struct Step {
    DiskRange range;
    bool zeros = false;
  };
  /// One thread's memory.
  struct Desk {
    ChunkBuffer bytes;
    ChunkBuffer parents_bytes;
    std::vector<DiskRange> data;
    std::vector<Step> steps;
    std::vector<Placement> places;
  };
  struct Look {
    Extent extent;
    std::uint64_t end = 0;
    bool skip = false;
  };

  std::optional<Error> take_failure() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return std::exchange(failure_, std::nullopt);
  }

  void work_and_tell(bool caller) VDISK_EXCLUDES(mutex_) {
    Status done = guarded([&] { return work(caller); });
    if (done) return;
    const MutexLock lock(mutex_);
    if (!failure_) failure_ = std::move(done).error();
    changed_.notify_all();
  }

  Status work(bool caller) VDISK_EXCLUDES(mutex_) {
    Desk desk;
    desk.bytes = VDISK_TRY(ChunkBuffer::allocate());
    if (job_.parent != nullptr) desk.parents_bytes = VDISK_TRY(ChunkBuffer::allocate());
    for (;;) {
      const std::optional<Piece> piece = VDISK_TRY(take());
      if (!piece) return {};
      VDISK_TRY(examine(*piece, desk));
      if (!VDISK_TRY(place_in_turn(*piece, desk))) return {};
      VDISK_TRY(move(*piece, desk));
      if (caller) meter_.advance(piece->range.at.bytes);
    }
  }

  bool to_share(const Extent& extent) const {
    return job_.parent == nullptr && extent.source == Extent::Source::kData &&
           extent.layer < job_.shares.size() && job_.shares[extent.layer];
  }

  /// What lies at `at`, and up to where the answer holds. REQUIRES: `at` never moves back.
  Result<Look> look_at(std::uint64_t at) VDISK_REQUIRES(mutex_) {
    VDISK_TRY(check_cancelled(control_, "the conversion"));
    Look look;
    look.extent = VDISK_TRY(walk_.find(at));
    look.end = look.extent.range.end();
    look.skip = look.extent.source == Extent::Source::kZero;
    if (!parent_walk_) return look;
    if (at < parent_size_) {
      const Extent parents = rest_of(VDISK_TRY(parent_walk_->find(at)), at);
      look.end = std::min(look.end, parents.range.end());
      look.skip = look.skip ? parents.source == Extent::Source::kZero : shared_.same(look.extent, parents);
    }
    // In whole sectors of the target, which the extents of a source with smaller ones need not be.
    if (look.skip && look.end != size_) look.end = round_down(look.end, job_.sector_bytes);
    if (look.skip && look.end <= at) {
      look.skip = false;
      look.end = at + job_.sector_bytes;
    }
    if (!look.skip) look.end = std::min(size_, round_up(look.end, job_.sector_bytes));
    return look;
  }

  Result<std::optional<Piece>> take() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (at_ < size_ && !failure_) {
      const Look look = VDISK_TRY(look_at(at_));
      if (look.skip) {
        at_ = look.end;
        continue;
      }
      Piece piece{.turn = next_turn_, .range = {{at_}, 0}, .whence = {}};
      if (to_share(look.extent)) {
        piece.whence = look.extent;
        piece.range.length = std::min(look.end - at_, kSharedPieceBytes - at_ % kSharedPieceBytes);
      } else {
        piece.range.length = VDISK_TRY(length_to_read(look.end));
      }
      at_ += piece.range.length;
      ++next_turn_;
      return piece;
    }
    return std::nullopt;
  }

  /// From at_, where something up to `end` is to be read, as far as one chunk goes.
  Result<std::uint64_t> length_to_read(std::uint64_t end) VDISK_REQUIRES(mutex_) {
    const std::uint64_t limit = std::min(size_, round_down(at_, kChunkBytes) + kChunkBytes);
    while (end < limit) {
      const Look next = VDISK_TRY(look_at(end));
      if (to_share(next.extent) || (next.skip && next.end - end >= kShortestSkipBytes)) break;
      end = next.end;
    }
    return std::min(end, limit) - at_;
  }

  /// Reads the piece and finds what of it is to be written.
  Status examine(const Piece& piece, Desk& desk) {
    desk.steps.clear();
    if (piece.whence) {
      desk.steps.push_back({piece.range});
      return {};
    }
    const auto bytes = desk.bytes.bytes().first(piece.range.length);
    VDISK_TRY(job_.content.read(piece.range.at, bytes));
    if (job_.parent != nullptr) return compare(piece.range, bytes, desk);
    if (job_.zeros == ZeroSearch::kNever) {
      desk.steps.push_back({piece.range});
      return {};
    }
    desk.data.clear();
    find_data(piece.range.at, bytes, desk.data);
    for (const DiskRange& range : desk.data) desk.steps.push_back({range});
    return {};
  }

  Status compare(DiskRange range, std::span<const std::byte> bytes, Desk& desk) {
    const auto parents = desk.parents_bytes.bytes().first(bytes.size());
    const std::uint64_t inside =
        range.at.bytes < parent_size_ ? std::min(range.length, parent_size_ - range.at.bytes) : 0;
    if (inside != 0) VDISK_TRY(job_.parent->read(range.at, parents.first(inside)));
    std::ranges::fill(parents.subspan(inside), std::byte{0});
    for (std::size_t at = 0; at < bytes.size(); at += job_.sector_bytes) {
      const auto sector = bytes.subspan(at, job_.sector_bytes);
      if (std::memcmp(sector.data(), parents.data() + at, sector.size()) == 0) continue;
      const Step step{{{range.at.bytes + at}, job_.sector_bytes}, is_all_zero(sector)};
      if (!desk.steps.empty() && desk.steps.back().range.end() == step.range.at.bytes &&
          desk.steps.back().zeros == step.zeros) {
        desk.steps.back().range.length += step.range.length;
      } else {
        desk.steps.push_back(step);
      }
    }
    return {};
  }

  /// False when another thread failed.
  Result<bool> place_in_turn(const Piece& piece, Desk& desk) VDISK_EXCLUDES(mutex_) {
    desk.places.clear();
    const MutexLock lock(mutex_);
    while (turn_ != piece.turn && !failure_) changed_.wait(mutex_);
    if (failure_) return false;
    for (const Step& step : desk.steps) {
      VDISK_TRY(step.zeros ? job_.writer.place_zeros(step.range)
                           : job_.writer.place(step.range, desk.places));
    }
    ++turn_;
    changed_.notify_all();
    return true;
  }

  Status move(const Piece& piece, const Desk& desk) {
    for (const Placement& place : desk.places) {
      if (piece.whence) {
        VDISK_TRY(share(*piece.whence, place, desk));
      } else {
        const auto bytes =
            desk.bytes.bytes().subspan(place.range.at.bytes - piece.range.at.bytes, place.range.length);
        VDISK_TRY(target_.write(place.to, bytes));
      }
    }
    return {};
  }

  Status share(const Extent& whence, const Placement& place, const Desk& desk) {
    const FileOffset from{whence.from.bytes + (place.range.at.bytes - whence.range.at.bytes)};
    File& file = job_.content.source().impl().chain.layer(whence.layer).image->file();
    const std::uint64_t head =
        std::min(place.range.length, round_up(place.to.bytes, kShareUnitBytes) - place.to.bytes);
    const std::uint64_t middle = round_down(place.range.length - head, kShareUnitBytes);
    const bool congruent = from.bytes % kShareUnitBytes == place.to.bytes % kShareUnitBytes;
    if (!congruent || middle == 0 ||
        !share_range(file, FileOffset{from.bytes + head}, job_.target, FileOffset{place.to.bytes + head},
                     middle)) {
      return copy(place, 0, place.range.length, desk);
    }
    VDISK_TRY(copy(place, 0, head, desk));
    return copy(place, head + middle, place.range.length - head - middle, desk);
  }

  Status copy(const Placement& place, std::uint64_t skip, std::uint64_t length, const Desk& desk) {
    while (length > 0) {
      const auto bytes = desk.bytes.bytes().first(std::min<std::uint64_t>(length, kChunkBytes));
      VDISK_TRY(job_.content.read(DiskOffset{place.range.at.bytes + skip}, bytes));
      VDISK_TRY(target_.write(FileOffset{place.to.bytes + skip}, bytes));
      skip += bytes.size();
      length -= bytes.size();
    }
    return {};
  }

  const BulkCopyJob& job_;
  const OperationControl& control_;
  const SharedFiles shared_;
  const std::uint64_t size_;
  const std::uint64_t parent_size_;
  ProgressMeter meter_;  // the caller's thread alone
  DirectWriter target_;

  Mutex mutex_;
  std::condition_variable_any changed_;  // turn_ or failure_
  ContentWalk walk_ VDISK_GUARDED_BY(mutex_);
  std::optional<ExtentWalk> parent_walk_ VDISK_GUARDED_BY(mutex_);
  std::uint64_t at_ VDISK_GUARDED_BY(mutex_) = 0;         // nobody took what lies here
  std::uint64_t next_turn_ VDISK_GUARDED_BY(mutex_) = 0;  // of the next piece that is taken
  std::uint64_t turn_ VDISK_GUARDED_BY(mutex_) = 0;       // whose pieces are placed next
  std::optional<Error> failure_ VDISK_GUARDED_BY(mutex_);
};

}  // namespace

Status copy_in_bulk(const BulkCopyJob& job, const OperationControl& control) {
  VDISK_ASSERT(is_multiple(kChunkBytes, job.sector_bytes));
  SharedFiles shared;
  if (job.parent != nullptr) shared = VDISK_TRY(SharedFiles::find(job.content.source(), *job.parent));
  return BulkCopy(job, control, std::move(shared)).run();
}

}  // namespace vdisk::ops
