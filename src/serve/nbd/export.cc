// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/export.h"

#include <algorithm>

#include "base/checked.h"
#include "base/fault.h"
#include "disk/ops/content.h"

namespace vdisk::serve::nbd {

Export::Export(std::shared_ptr<ServedDisk> served, DiskRange range)
    : served_(std::move(served)), range_(range) {
  VDISK_ASSERT(fits_within(range.at.bytes, range.length, geometry().virtual_size_bytes));
}

Status Export::read(std::uint64_t at, std::span<std::byte> into) const {
  return served_->disk.read(on_disk(at, 0).at, into);
}

/// Calls `whole(range)` for the whole sectors of `range`, and `part(sector, offset, range)` for the piece of
/// a sector at either end, with the sector's bytes, which are written back when it has changed them from
/// `offset` on.
template <class Whole, class Part>
Status Export::change(DiskRange range, Whole&& whole, Part&& part) const {
  const Disk& disk = served_->disk;
  const std::uint64_t sector = geometry().logical_sector_bytes;
  const std::uint64_t begin = std::min(round_up(range.at.bytes, sector), range.end());
  const std::uint64_t end = std::max(round_down(range.end(), sector), begin);
  const DiskRange middle{{begin}, end - begin};
  if (middle == range) return served_->gate.whole([&] { return whole(middle); });

  return served_->gate.partial([&]() -> Status {
    std::vector<std::byte> bytes(sector);
    for (const DiskRange& piece :
         {DiskRange{range.at, begin - range.at.bytes}, DiskRange{{end}, range.end() - end}}) {
      if (piece.length == 0) continue;
      const DiskOffset at{round_down(piece.at.bytes, sector)};
      VDISK_TRY(disk.read(at, bytes));
      part(std::span(bytes).subspan(piece.at.bytes - at.bytes, piece.length), piece);
      VDISK_TRY(disk.write(at, bytes));
    }
    return middle.length == 0 ? Status{} : whole(middle);
  });
}

Status Export::write(std::uint64_t at, std::span<const std::byte> from) const {
  const DiskRange range = on_disk(at, from.size());
  const auto bytes_of = [&](const DiskRange& piece) {
    return from.subspan(piece.at.bytes - range.at.bytes, piece.length);
  };
  return change(
      range, [&](const DiskRange& whole) { return served_->disk.write(whole.at, bytes_of(whole)); },
      [&](std::span<std::byte> bytes, const DiskRange& piece) {
        std::ranges::copy(bytes_of(piece), bytes.begin());
      });
}

Status Export::zero(std::uint64_t at, std::uint64_t length, ZeroSpace space) const {
  return change(
      on_disk(at, length), [&](const DiskRange& whole) { return served_->disk.write_zeroes(whole, space); },
      [](std::span<std::byte> bytes, const DiskRange&) { std::ranges::fill(bytes, std::byte{0}); });
}

Result<bool> Export::zero_is_fast(std::uint64_t at, std::uint64_t length, ZeroSpace space) const {
  const Disk& disk = served_->disk;
  const std::uint32_t block = geometry().block_bytes;
  const bool hides_parent_by_sectors =
      disk.format() == FormatId::kVhd && disk.type() == DiskType::kDifferencing;
  if (disk.type() == DiskType::kFixed || block == 0 || hides_parent_by_sectors) return false;
  const DiskRange range = on_disk(at, length);
  const bool ends_block = is_multiple(range.end(), block) || range.end() == geometry().virtual_size_bytes;
  if (space == ZeroSpace::kFree && is_multiple(range.at.bytes, block) && ends_block) return true;
  const std::vector<Piece> first = VDISK_TRY(pieces(at, length, 1));
  return first.front().zero && first.front().length == length;
}

Status Export::trim(std::uint64_t at, std::uint64_t length) const {
  return served_->gate.whole([&] { return served_->disk.trim(on_disk(at, length)); });
}

Status Export::flush() const { return served_->disk.flush(); }

Result<std::vector<Export::Piece>> Export::pieces(std::uint64_t at, std::uint64_t length,
                                                  std::size_t most) const {
  const DiskRange range = on_disk(at, length);
  ops::ExtentWalk walk(served_->disk, range.end());
  std::vector<Piece> pieces;
  for (std::uint64_t next = range.at.bytes; next < range.end();) {
    const Extent extent = ops::rest_of(VDISK_TRY(walk.find(next)), next);
    const bool zero = extent.source == Extent::Source::kZero;
    const std::uint64_t bytes = std::min(extent.range.end(), range.end()) - next;
    if (!pieces.empty() && pieces.back().zero == zero) {
      pieces.back().length += bytes;
    } else if (pieces.size() < most) {
      pieces.push_back({next - range_.at.bytes, bytes, zero});
    } else {
      break;
    }
    next += bytes;
  }
  return pieces;
}

}  // namespace vdisk::serve::nbd
