// SPDX-License-Identifier: Apache-2.0
#include <vdisk/disk.h>

#include <cstring>

#include "base/checked.h"
#include "chain/read_plan.h"
#include "disk/faults.h"
#include "disk/guarded.h"
#include "disk/impl.h"

namespace vdisk {

namespace {

Status past_end(const Disk::Impl& disk, std::uint64_t at, std::uint64_t length) {
  return fail(disk::faults::kPastEnd, "{}: {} bytes at {:#x} reach past the disk's end at {:#x}",
              disk.chain.layer(0).path, length, at, disk.geometry.virtual_size_bytes);
}

Status parent_not_open(const Disk::Impl& disk, const PlannedRun& run) {
  return fail(
      disk::faults::kParentNotOpen,
      "{}: {} bytes at {:#x} lie in the parent, which was not opened; open the image with its parents",
      disk.chain.layer(disk.chain.size() - 1).path, run.length, run.at.bytes);
}

Status file_shrunk(const Disk::Impl& disk, const PlannedRun& run, std::size_t got) {
  return fail(
      disk::faults::kFileShrunk,
      "{}: {} bytes at {:#x} hold the disk's data at {:#x}, but the file now ends {} bytes after their "
      "beginning; something cut it while it was open",
      disk.chain.layer(run.layer).path, run.length, run.from.bytes, run.at.bytes, got);
}

Status read_run(const Disk::Impl& disk, const PlannedRun& run, std::span<std::byte> into) {
  switch (run.source) {
    case PlannedRun::Source::kFile: {
      const std::size_t got = VDISK_TRY(disk.chain.layer(run.layer).image->file().read(run.from, into));
      if (got != into.size()) [[unlikely]]
        return file_shrunk(disk, run, got);
      return {};
    }
    case PlannedRun::Source::kZero:
      std::memset(into.data(), 0, into.size());
      return {};
    case PlannedRun::Source::kUnresolved:
      break;
  }
  return parent_not_open(disk, run);
}

Status read_all(const Disk::Impl& disk, DiskOffset at, std::span<std::byte> into) {
  if (!fits_within(at.bytes, into.size(), disk.geometry.virtual_size_bytes)) [[unlikely]]
    return past_end(disk, at.bytes, into.size());
  // On a disk that is being written, what a plan points to must not be given to another block meanwhile.
  const IoGate::Pass pass =
      disk.writable.load(std::memory_order_relaxed) ? disk.chain.leaf().io_gate().enter() : IoGate::Pass();
  ReadPlan plan;
  while (!into.empty()) {
    const std::uint64_t covered = VDISK_TRY(disk.chain.plan_read({at, into.size()}, plan));
    for (const PlannedRun& run : plan) {
      VDISK_TRY(read_run(disk, run, into.first(run.length)));
      into = into.subspan(run.length);
    }
    at.bytes += covered;
  }
  return {};
}

Extent to_extent(const PlannedRun& run) {
  Extent extent{
      .range = {run.at, run.length}, .source = Extent::Source::kZero, .layer = run.layer, .from = run.from};
  if (run.source == PlannedRun::Source::kFile) {
    extent.source = Extent::Source::kData;
  } else {
    if (run.source == PlannedRun::Source::kUnresolved) extent.source = Extent::Source::kUnresolved;
    extent.layer = 0;
    extent.from = {};
  }
  return extent;
}

bool continues(const Extent& last, const Extent& next) {
  if (last.source != next.source || last.range.end() != next.range.at.bytes) return false;
  if (last.source != Extent::Source::kData) return true;
  return last.layer == next.layer && last.from.bytes + last.range.length == next.from.bytes;
}

Result<std::uint64_t> collect_extents(const Disk::Impl& disk, DiskRange range, std::vector<Extent>& extents,
                                      std::size_t most) {
  if (!fits_within(range.at.bytes, range.length, disk.geometry.virtual_size_bytes)) {
    return std::unexpected(past_end(disk, range.at.bytes, range.length).error());
  }
  const std::size_t before = extents.size();
  std::uint64_t done = 0;
  ReadPlan plan;
  while (done < range.length) {
    VDISK_TRY(disk.chain.plan_read({{range.at.bytes + done}, range.length - done}, plan));
    for (const PlannedRun& run : plan) {
      const Extent extent = to_extent(run);
      if (extents.size() > before && continues(extents.back(), extent)) {
        extents.back().range.length += extent.range.length;
      } else if (extents.size() - before < most) {
        extents.push_back(extent);
      } else {
        return done;
      }
      done += run.length;
    }
  }
  return done;
}

}  // namespace

inline namespace v1 {

Disk::Impl::~Impl() {
  if (!writable.exchange(false)) return;
  const Status closed = chain.leaf().close();
  if (!closed && trace) trace(TraceLevel::kWarning, closed.error().message());
}

Disk::Disk(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Disk::Disk(Disk&&) noexcept = default;
Disk& Disk::operator=(Disk&&) noexcept = default;
Disk::~Disk() = default;

const DiskGeometry& Disk::geometry() const noexcept { return impl_->geometry; }
FormatId Disk::format() const noexcept { return impl_->format; }
DiskType Disk::type() const noexcept { return impl_->type; }
std::size_t Disk::layer_count() const noexcept { return impl_->chain.size(); }

Status Disk::read(DiskOffset at, std::span<std::byte> into) const {
  return guarded([&] { return read_all(*impl_, at, into); });
}

Result<std::uint64_t> Disk::extents(DiskRange range, std::vector<Extent>& extents, std::size_t most) const {
  return guarded([&] { return collect_extents(*impl_, range, extents, most == 0 ? 1 : most); });
}

}  // namespace v1

}  // namespace vdisk
