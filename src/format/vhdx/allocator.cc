// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/allocator.h"

#include <algorithm>

#include "format/vhdx/region.h"

namespace vdisk::vhdx {

namespace {
constexpr std::uint64_t kLeastGrowthMib = 16;
constexpr std::uint64_t kMostGrowthMib = 1024;
}  // namespace

Status SpaceAllocator::begin(const SpaceMap& taken, std::uint64_t occupied_end) {
  const std::uint64_t file_bytes = VDISK_TRY(file_.size());
  const std::uint64_t rounded = rounded_file_bytes(file_bytes);
  // A file may end in a part of a MiB (formats.md 2.1); what is written has whole ones.
  if (rounded != file_bytes) VDISK_TRY(file_.resize(rounded));
  file_mib_ = rounded / kMiB;
  unused_mib_ = std::max(file_mib_, divide_up(occupied_end, kMiB));
  freed_.clear();
  no_fit_mib_ = ~std::uint64_t{0};
  taken.for_each_free(file_mib_, [&](std::uint64_t first, std::uint64_t count) {
    freed_.emplace_hint(freed_.end(), first, count);
    return freed_.size() < kMostStretches;
  });
  return {};
}

bool SpaceAllocator::take_freed(std::uint64_t unit_mib, std::uint64_t most_units, Space& space) {
  if (unit_mib >= no_fit_mib_) return false;
  // The first stretch that has room for all, else the longest.
  auto best = freed_.end();
  for (auto stretch = freed_.begin(); stretch != freed_.end(); ++stretch) {
    if (stretch->second < unit_mib) continue;
    if (best == freed_.end() || stretch->second > best->second) best = stretch;
    if (best->second >= unit_mib * most_units) break;
  }
  if (best == freed_.end()) {
    no_fit_mib_ = unit_mib;
    return false;
  }
  const auto [first, count] = *best;
  const std::uint64_t taken = std::min(count / unit_mib, most_units) * unit_mib;
  freed_.erase(best);
  if (taken != count) freed_.emplace(first + taken, count - taken);
  space = {.first_mib = first, .count_mib = taken, .never_used = false};
  return true;
}

Status SpaceAllocator::grow_to(std::uint64_t mib) {
  if (mib <= file_mib_) return {};
  const std::uint64_t step = std::clamp(file_mib_ / 8, kLeastGrowthMib, kMostGrowthMib);
  const std::uint64_t generous = std::max(mib, file_mib_ + step);
  if (generous != mib && file_.resize(generous * kMiB)) {
    file_mib_ = generous;
    return {};
  }
  // A quota or a limit may allow what is needed and no more.
  VDISK_TRY(file_.resize(mib * kMiB));
  file_mib_ = mib;
  return {};
}

Result<Space> SpaceAllocator::allocate(std::uint64_t unit_mib, std::uint64_t most_units) {
  Space space;
  if (take_freed(unit_mib, most_units, space)) return space;
  space = {.first_mib = unused_mib_, .count_mib = unit_mib * most_units, .never_used = true};
  Status grown = grow_to(unused_mib_ + space.count_mib);
  if (!grown && most_units > 1) {
    space.count_mib = unit_mib;
    grown = grow_to(unused_mib_ + unit_mib);
  }
  if (!grown) return std::unexpected(std::move(grown).error());
  unused_mib_ += space.count_mib;
  return space;
}

void SpaceAllocator::release(const Space& space) {
  std::uint64_t first = space.first_mib;
  std::uint64_t end = first + space.count_mib;
  auto next = freed_.lower_bound(first);
  if (next != freed_.end() && next->first == end) {
    end += next->second;
    next = freed_.erase(next);
  }
  if (next != freed_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      first = before->first;
      freed_.erase(before);
    }
  }
  if (freed_.size() < kMostStretches) freed_.emplace(first, end - first);
  no_fit_mib_ = ~std::uint64_t{0};
}

std::uint64_t SpaceAllocator::used_end_bytes() const noexcept {
  std::uint64_t end = std::min(unused_mib_, file_mib_);
  if (!freed_.empty()) {
    const auto last = std::prev(freed_.end());
    if (last->first + last->second == end) end = last->first;
  }
  return end * kMiB;
}

}  // namespace vdisk::vhdx
