// SPDX-License-Identifier: Apache-2.0
//
// The writing half of Disk: each range is checked once, resolved by the leaf into places, and moved there;
// parents are never written. The order of what becomes durable is the image's business (docs/durability.md).
#include <vdisk/disk.h>

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "chain/read_plan.h"
#include "disk/faults.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/impl.h"
#include "disk/intents.h"

namespace vdisk {

namespace {

Status check_fits(const Disk::Impl& disk, DiskRange range) {
  if (fits_within(range.at.bytes, range.length, disk.geometry.virtual_size_bytes)) return {};
  return fail(disk::faults::kPastEnd, "{}: {} bytes at {:#x} reach past the disk's end at {:#x}",
              disk.chain.layer(0).path, range.length, range.at.bytes, disk.geometry.virtual_size_bytes);
}

Status check_range(const Disk::Impl& disk, DiskRange range) {
  const std::string& path = disk.chain.layer(0).path;
  if (!disk.writable.load(std::memory_order_relaxed)) {
    return fail(disk::faults::kNotWritable, "{}: the disk was not opened for writing, or was closed", path);
  }
  VDISK_TRY(check_fits(disk, range));
  const std::uint32_t sector = disk.geometry.logical_sector_bytes;
  if (!is_multiple(range.at.bytes, sector) || !is_multiple(range.length, sector)) {
    return fail(disk::faults::kUnaligned, "{}: {} bytes at {:#x} are not whole sectors of {} bytes", path,
                range.length, range.at.bytes, sector);
  }
  return {};
}

/// Calls `move(file, run)` for each place of `range`, and publishes the mapping after each ticket's share.
template <class Move>
Status write_runs(Disk::Impl& disk, DiskRange range, Move&& move) {
  Image& leaf = disk.chain.leaf();
  RunList runs;
  while (range.length > 0) {
    const IoGate::Pass pass = leaf.io_gate().enter();
    WriteTicket ticket = VDISK_TRY(leaf.resolve_write(range, runs));
    const std::uint64_t covered = ticket.covered_bytes();
    VDISK_ASSERT(covered > 0 && covered <= range.length);
    for (const Run& run : runs) VDISK_TRY(move(leaf.file(), run));
    ticket.commit();
    if (!disk.written.load(std::memory_order_relaxed)) disk.written.store(true, std::memory_order_release);
    range.at.bytes += covered;
    range.length -= covered;
  }
  return {};
}

Status write_all(Disk::Impl& disk, DiskOffset at, std::span<const std::byte> from) {
  VDISK_TRY(check_range(disk, {at, from.size()}));
  VDISK_TRY(before_first_write(disk));
  return write_runs(disk, {at, from.size()}, [&](File& file, const Run& run) {
    return file.write(run.from, from.subspan(run.at.bytes - at.bytes, run.length));
  });
}

/// Writes zeros where the disk shows anything else: a device that is zeroed as a whole (mkfs) must not fill
/// an image.
Status zero_piece(Disk::Impl& disk, DiskRange piece) {
  ReadPlan plan;
  while (piece.length > 0) {
    const std::uint64_t covered = VDISK_TRY(disk.chain.plan_read(piece, plan));
    for (const PlannedRun& run : plan) {
      if (run.source == PlannedRun::Source::kZero) continue;
      VDISK_TRY(write_runs(disk, {run.at, run.length},
                           [](File& file, const Run& place) { return file.zero(place.from, place.length); }));
    }
    piece.at.bytes += covered;
    piece.length -= covered;
  }
  return {};
}

Status zero_all(Disk::Impl& disk, DiskRange range, ZeroSpace space) {
  VDISK_TRY(check_range(disk, range));
  if (range.length == 0) return {};
  VDISK_TRY(before_first_write(disk));
  std::vector<DiskRange> rest;
  {
    const IoGate::Pass pass = disk.chain.leaf().io_gate().enter();
    VDISK_TRY(disk.chain.leaf().discard(range, space == ZeroSpace::kKeep, rest));
  }
  for (const DiskRange& piece : rest) VDISK_TRY(zero_piece(disk, piece));
  return {};
}

Status trim_all(Disk::Impl& disk, DiskRange range) {
  const std::uint32_t sector = disk.geometry.logical_sector_bytes;
  VDISK_TRY(check_fits(disk, range));
  const std::uint64_t begin = round_up(range.at.bytes, sector);
  const std::uint64_t end = round_down(range.end(), sector);
  const DiskRange whole{{begin}, end > begin ? end - begin : 0};
  VDISK_TRY(check_range(disk, whole));
  if (whole.length == 0) return {};
  VDISK_TRY(before_first_write(disk));
  std::vector<DiskRange> rest;  // pieces of blocks keep their bytes
  const IoGate::Pass pass = disk.chain.leaf().io_gate().enter();
  return disk.chain.leaf().discard(whole, /*keep_space=*/false, rest);
}

}  // namespace

Status keep_intents(const Disk& disk, IntentMemory& memory) {
  return guarded([&] { return disk.impl().chain.leaf().keep_intents(memory); });
}

Status before_first_write(Disk::Impl& disk) {
  if (disk.tracking_checked.load(std::memory_order_acquire)) return {};
  const std::vector<std::string> files = change_tracking_files(disk.chain.layer(0).path);
  if (!files.empty() && disk.strict_tracking) {
    return fail(disk::faults::kStaleTracking,
                "{}: {} records the changes of this disk and would become stale; remove it or write without "
                "--strict-tracking",
                disk.chain.layer(0).path, files.front());
  }
  if (disk.tracking_checked.exchange(true, std::memory_order_acq_rel)) return {};
  for (const std::string& file : files) {
    if (disk.trace) {
      disk.trace(
          TraceLevel::kWarning,
          fmt::format("{}: records the changes of this disk for Hyper-V and is stale from now on", file));
    }
  }
  return {};
}

inline namespace v1 {

Status Disk::write(DiskOffset at, std::span<const std::byte> from) const {
  return guarded([&] { return write_all(*impl_, at, from); });
}

Status Disk::write_zeroes(DiskRange range, ZeroSpace space) const {
  return guarded([&] { return zero_all(*impl_, range, space); });
}

Status Disk::trim(DiskRange range) const {
  return guarded([&] { return trim_all(*impl_, range); });
}

Status Disk::flush() const {
  return guarded([&]() -> Status {
    if (!impl_->writable.load(std::memory_order_relaxed)) return {};
    return impl_->chain.leaf().flush();
  });
}

Status Disk::close() {
  return guarded([&]() -> Status {
    if (!impl_->writable.exchange(false)) return {};
    return impl_->chain.leaf().close();
  });
}

}  // namespace v1

}  // namespace vdisk
