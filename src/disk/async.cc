// SPDX-License-Identifier: Apache-2.0
#include "disk/async.h"

#include <bit>
#include <cstring>

#include "base/checked.h"
#include "disk/guarded.h"
#include "disk/impl.h"

namespace vdisk {

bool AsyncTransfer::add(const File& file, IoOperation::Kind kind, FileOffset at,
                        std::span<std::byte> bytes) noexcept {
  const std::uint32_t unit = file.fd_unit_bytes();
  // Through the page cache a thread that copies is faster than a ring.
  if (count_ == kMostParts || file.fd() < 0 || unit == 1) return false;
  if (((at.bytes | bytes.size() | std::bit_cast<std::uintptr_t>(bytes.data())) & (unit - 1)) != 0)
    return false;
  parts_[count_++] = {
      .kind = kind, .fd = file.fd(), .at = at, .bytes = bytes, .done = part_done, .context = this};
  return true;
}

void AsyncTransfer::give_up() noexcept {
  count_ = 0;
  pass_.reset();
}

bool AsyncTransfer::go(IoEngine& engine) noexcept {
  if (engine.room() < count_) {
    give_up();
    return false;
  }
  moved_ = true;
  pending_ = count_;
  for (std::size_t i = 0; i < count_; ++i) engine.start(parts_[i]);
  return true;
}

void AsyncTransfer::part_done(IoOperation& operation, long result) noexcept {
  AsyncTransfer& transfer = *static_cast<AsyncTransfer*>(operation.context);
  if (result < 0 || static_cast<std::size_t>(result) != operation.bytes.size()) transfer.moved_ = false;
  if (--transfer.pending_ != 0) return;
  transfer.give_up();
  transfer.done(transfer, transfer.moved_);
}

bool start_read(const Disk& disk, IoEngine& engine, DiskOffset at, std::span<std::byte> into,
                AsyncTransfer& transfer) {
  const Disk::Impl& impl = disk.impl();
  if (into.empty() || !fits_within(at.bytes, into.size(), impl.geometry.virtual_size_bytes)) return false;
  transfer.give_up();
  // Held until the payload has moved: what the plan points to is not given to another block meanwhile.
  if (impl.writable.load(std::memory_order_relaxed))
    transfer.pass_.emplace(impl.chain.leaf().io_gate().enter());
  ReadPlan plan;
  const auto planned = guarded([&] { return impl.chain.plan_read({at, into.size()}, plan); });
  bool fine = planned && *planned == into.size();
  for (const PlannedRun& run : plan) {
    if (!fine) break;
    const std::span<std::byte> piece = into.subspan(run.at.bytes - at.bytes, run.length);
    if (run.source == PlannedRun::Source::kFile) {
      fine =
          transfer.add(impl.chain.layer(run.layer).image->file(), IoOperation::Kind::kRead, run.from, piece);
    } else {
      fine = run.source == PlannedRun::Source::kZero;
      std::memset(piece.data(), 0, piece.size());
    }
  }
  if (fine && transfer.count_ != 0) return transfer.go(engine);
  transfer.give_up();
  return false;
}

bool start_write(const Disk& disk, IoEngine& engine, DiskOffset at, std::span<std::byte> from,
                 AsyncTransfer& transfer) {
  const Disk::Impl& impl = disk.impl();
  const std::uint32_t sector = impl.geometry.logical_sector_bytes;
  if (from.empty() || !impl.written.load(std::memory_order_acquire) ||
      !impl.writable.load(std::memory_order_relaxed) ||
      !fits_within(at.bytes, from.size(), impl.geometry.virtual_size_bytes) ||
      !is_multiple(at.bytes, sector) || !is_multiple(from.size(), sector)) {
    return false;
  }
  Image& leaf = impl.chain.leaf();
  // Whoever changes parts of units reads them first; whole sectors must never be among those.
  if (leaf.file().fd_unit_bytes() > sector) return false;
  transfer.give_up();
  transfer.pass_.emplace(leaf.io_gate().enter());
  RunList runs;
  // What the leaf shows from its own file has its place, and stays visible there: no ticket is needed.
  const auto resolved = guarded([&] { return leaf.resolve_read({at, from.size()}, runs); });
  bool fine = resolved && *resolved == from.size();
  for (const Run& run : runs) {
    fine = fine && run.source == Run::Source::kFile &&
           transfer.add(leaf.file(), IoOperation::Kind::kWrite, run.from,
                        from.subspan(run.at.bytes - at.bytes, run.length));
  }
  if (fine) return transfer.go(engine);
  transfer.give_up();
  return false;
}

bool can_transfer(const Disk& disk) noexcept {
  const File& file = disk.impl().chain.leaf().file();
  return file.fd() >= 0 && file.fd_unit_bytes() > 1;
}

}  // namespace vdisk
