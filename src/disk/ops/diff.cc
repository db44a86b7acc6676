// SPDX-License-Identifier: Apache-2.0
#include <vdisk/operations.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "disk/guarded.h"
#include "disk/impl.h"
#include "disk/ops/content.h"
#include "disk/ops/shared_files.h"

namespace vdisk {

namespace {

constexpr std::size_t kSectorBytes = 512;

void add_difference(Difference& result, std::uint64_t at, std::uint64_t length) {
  result.same = false;
  if (!result.first) result.first = DiskOffset{at};
  result.different_bytes += length;
}

/// Adds the sectors in which `a` and `b` differ; `at` is where both begin.
void compare(std::span<const std::byte> a, std::span<const std::byte> b, std::uint64_t at,
             Difference& result) {
  if (std::memcmp(a.data(), b.data(), a.size()) == 0) return;
  for (std::size_t sector = 0; sector < a.size(); sector += kSectorBytes) {
    const std::size_t length = std::min(kSectorBytes, a.size() - sector);
    if (std::memcmp(a.data() + sector, b.data() + sector, length) == 0) continue;
    const auto* differs =
        std::mismatch(a.data() + sector, a.data() + sector + length, b.data() + sector).first;
    const auto inside = static_cast<std::uint64_t>(differs - (a.data() + sector));
    add_difference(result, result.first ? at + sector : at + sector + inside, length);
  }
}

/// Reads `bytes` at `at`, without touching the file where the disk is known to be zero.
Status read_extent(const Disk& disk, const Extent& extent, std::uint64_t at, std::span<std::byte> bytes) {
  if (extent.source != Extent::Source::kZero) return disk.read({at}, bytes);
  std::memset(bytes.data(), 0, bytes.size());
  return {};
}

Result<Difference> compare_disks(const Disk& a, const Disk& b, const OperationControl& control) {
  const std::uint64_t a_size = a.geometry().virtual_size_bytes;
  const std::uint64_t b_size = b.geometry().virtual_size_bytes;
  const std::uint64_t common = std::min(a_size, b_size);
  const ops::ChunkBuffer a_buffer = VDISK_TRY(ops::ChunkBuffer::allocate());
  const ops::ChunkBuffer b_buffer = VDISK_TRY(ops::ChunkBuffer::allocate());
  ops::ProgressMeter meter(control, common);
  const ops::SharedFiles shared = VDISK_TRY(ops::SharedFiles::find(a, b));
  ops::ExtentWalk a_walk(a, common);
  ops::ExtentWalk b_walk(b, common);
  Difference result;
  std::uint64_t at = 0;
  while (at < common) {
    VDISK_TRY(ops::check_cancelled(control, "the comparison"));
    const Extent in_a = ops::rest_of(VDISK_TRY(a_walk.find(at)), at);
    const Extent in_b = ops::rest_of(VDISK_TRY(b_walk.find(at)), at);
    std::uint64_t length = std::min({in_a.range.end(), in_b.range.end(), common}) - at;
    const bool both_zero = in_a.source == Extent::Source::kZero && in_b.source == Extent::Source::kZero;
    if (!both_zero && !shared.same(in_a, in_b)) {
      length = std::min<std::uint64_t>(length, ops::kChunkBytes - at % ops::kChunkBytes);
      const auto a_bytes = a_buffer.bytes().first(static_cast<std::size_t>(length));
      const auto b_bytes = b_buffer.bytes().first(static_cast<std::size_t>(length));
      VDISK_TRY(read_extent(a, in_a, at, a_bytes));
      VDISK_TRY(read_extent(b, in_b, at, b_bytes));
      compare(a_bytes, b_bytes, at, result);
    }
    at += length;
    meter.advance(at);
  }
  if (a_size != b_size) add_difference(result, common, std::max(a_size, b_size) - common);
  return result;
}

}  // namespace

inline namespace v1 {

Result<Difference> diff(const Disk& a, const Disk& b, const OperationControl& control) {
  return guarded([&] { return compare_disks(a, b, control); });
}

}  // namespace v1

}  // namespace vdisk
