// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/plain_file.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"

namespace vdisk::serve::fuse {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kMostCounting{50};
constexpr std::chrono::seconds kCountLasts{1};
/// A disk is looked through in stretches, so that time and memory stay bounded whatever it holds.
constexpr std::uint64_t kStretchBytes = 16 * kGiB;
constexpr std::size_t kStretchPieces = 1024;

}  // namespace

PlainFile::PlainFile(ServedFile served, std::shared_ptr<SectorGate> gate, std::chrono::nanoseconds changed)
    : served_(std::move(served)), gate_(std::move(gate)), changed_(changed.count()) {}

bool PlainFile::overlaps(const PlainFile& other) const noexcept {
  return served_.disk == other.served_.disk &&
         ranges_overlap(served_.range.at.bytes, served_.range.length, other.served_.range.at.bytes,
                        other.served_.range.length);
}

bool PlainFile::whole_sectors(std::uint64_t at, std::uint64_t length) const noexcept {
  const std::uint32_t sector = disk().geometry().logical_sector_bytes;
  return is_multiple(at, sector) && is_multiple(length, sector);
}

Status PlainFile::read(std::uint64_t at, std::span<std::byte> into) const {
  return disk().read(on_disk(at, into.size()).at, into);
}

/// Splits the range into its whole sectors, for `whole(at, length)`, and the parts of sectors before and
/// after them: for those, `part(piece, at)` changes the bytes from file offset `at` on.
template <class Whole, class Part>
Status PlainFile::change(std::uint64_t at, std::uint64_t length, Whole&& whole, Part&& part) const {
  if (whole_sectors(at, length)) {
    gate_->enter_whole();
    Status status = whole(at, length);
    gate_->leave_whole();
    return status;
  }
  const std::uint32_t sector = disk().geometry().logical_sector_bytes;
  const std::uint64_t end = at + length;
  std::vector<std::byte> bytes(sector);
  gate_->enter_alone();
  Status status = [&]() -> Status {
    while (at < end) {
      const std::uint64_t start = round_down(at, sector);
      const std::uint64_t whole_end = round_down(end, sector);
      if (at == start && whole_end > at) {
        VDISK_TRY(whole(at, whole_end - at));
        at = whole_end;
        continue;
      }
      const std::uint64_t stop = std::min(start + sector, end);
      VDISK_TRY(disk().read(on_disk(start, sector).at, bytes));
      part(std::span(bytes).subspan(at - start, stop - at), at);
      VDISK_TRY(disk().write(on_disk(start, sector).at, bytes));
      at = stop;
    }
    return {};
  }();
  gate_->leave_alone();
  return status;
}

Status PlainFile::write(std::uint64_t at, std::span<const std::byte> from) const {
  return change(
      at, from.size(),
      [&](std::uint64_t begin, std::uint64_t length) {
        return disk().write(on_disk(begin, length).at, from.subspan(begin - at, length));
      },
      [&](std::span<std::byte> piece, std::uint64_t begin) {
        std::ranges::copy(from.subspan(begin - at, piece.size()), piece.begin());
      });
}

Status PlainFile::zero(std::uint64_t at, std::uint64_t length, ZeroSpace space) const {
  return change(
      at, length,
      [&](std::uint64_t begin, std::uint64_t size) {
        return disk().write_zeroes(on_disk(begin, size), space);
      },
      [](std::span<std::byte> piece, std::uint64_t) { std::ranges::fill(piece, std::byte{0}); });
}

Result<std::uint64_t> PlainFile::seek(std::uint64_t at, bool data) const {
  std::vector<Extent> extents;
  while (at < size_bytes()) {
    extents.clear();
    const DiskRange stretch = on_disk(at, std::min(size_bytes() - at, kStretchBytes));
    const std::uint64_t covered = VDISK_TRY(disk().extents(stretch, extents, kStretchPieces));
    for (const Extent& extent : extents) {
      if ((extent.source != Extent::Source::kZero) == data)
        return extent.range.at.bytes - served_.range.at.bytes;
    }
    at += covered;
  }
  return size_bytes();
}

std::uint64_t PlainFile::allocated_bytes() {
  const MutexLock lock(count_mutex_);
  const Clock::time_point now = Clock::now();
  if (!counted_.load() && (counted_at_ == Clock::time_point() || now - counted_at_ > kCountLasts)) {
    counted_.store(true);  // before counting: a change that comes between counts again
    allocated_ = count_allocated();
    counted_at_ = Clock::now();
  }
  return allocated_;
}

std::uint64_t PlainFile::count_allocated() const {
  const Clock::time_point stop = Clock::now() + kMostCounting;
  std::uint64_t allocated = 0;
  std::vector<Extent> extents;
  for (std::uint64_t at = 0; at < size_bytes();) {
    extents.clear();
    const DiskRange stretch = on_disk(at, std::min(size_bytes() - at, kStretchBytes));
    const auto covered = disk().extents(stretch, extents, kStretchPieces);
    if (!covered || Clock::now() > stop) return allocated + (size_bytes() - at);
    for (const Extent& extent : extents) {
      if (extent.source != Extent::Source::kZero) allocated += extent.range.length;
    }
    at += *covered;
  }
  return allocated;
}

void PlainFile::note_change() noexcept {
  changed_.store(std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count(),
                 std::memory_order_relaxed);
  counted_.store(false, std::memory_order_relaxed);
}

}  // namespace vdisk::serve::fuse
