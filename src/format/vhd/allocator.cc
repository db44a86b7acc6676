// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/allocator.h"

#include <algorithm>

#include "base/checked.h"
#include "format/vhd/layout.h"

namespace vdisk::vhd {

namespace {
constexpr std::uint64_t kPageBytes = 4096;
}  // namespace

PlaceRules::PlaceRules(const Parsed& parsed) noexcept
    : bitmap_bytes_(parsed.bitmap_bytes),
      length_(std::uint64_t{parsed.bitmap_bytes} + parsed.properties.geometry.block_bytes),
      // Blocks smaller than a page would waste most of it.
      align_(std::min<std::uint64_t>(kPageBytes, parsed.properties.geometry.block_bytes)) {}

std::uint64_t PlaceRules::stride() const noexcept { return round_up(length_, align_); }

std::uint64_t PlaceRules::place_from(std::uint64_t end) const noexcept {
  return round_up(end + bitmap_bytes_, align_) - bitmap_bytes_;
}

std::uint64_t PlaceRules::footer_from(std::uint64_t end) noexcept {
  return round_up(end + kFooterBytes, kPageBytes) - kFooterBytes;
}

bool Allocator::tail_has_room() const noexcept {
  return fits_within(next_, rules_.length(), footer_at_) && next_ / kSectorBytes < kUnallocated;
}

std::optional<std::uint64_t> Allocator::take() noexcept {
  if (!free_.empty()) {
    const std::uint64_t place = *free_.begin();
    free_.erase(free_.begin());
    return place;
  }
  if (!tail_has_room()) return std::nullopt;
  const std::uint64_t place = next_;
  next_ = rules_.place_from(place + rules_.length());
  return place;
}

void Allocator::reserve(std::size_t count) {
  for (std::vector<Freed>* list : {&freed_, &settled_}) {
    const std::size_t needed = list->size() + count;
    if (list->capacity() < needed) list->reserve(std::max(needed, 2 * list->capacity()));
  }
}

std::vector<std::uint64_t> Allocator::take_unreachable(const IoGate& gate) {
  std::vector<std::uint64_t> places;
  places.reserve(settled_.size());
  const auto reachable = [&](const Freed& freed) {
    if (!gate.ended(freed.epoch)) return true;
    places.push_back(freed.place);
    return false;
  };
  settled_.erase(std::partition(settled_.begin(), settled_.end(), reachable), settled_.end());
  return places;
}

std::uint64_t Allocator::shrink() noexcept {
  while (!free_.empty()) {
    const std::uint64_t last = *free_.rbegin();
    if (rules_.place_from(last + rules_.length()) != next_) break;
    free_.erase(std::prev(free_.end()));
    next_ = last;
  }
  return next_;
}

SpaceMap map_space(const Parsed& parsed, const PlaceRules& rules, const std::vector<std::uint64_t>& placed) {
  SpaceMap map;
  map.allocated_blocks = placed.size();
  std::vector<Reserved> reserved = all_reserved(parsed);
  for (const Reserved& other : reserved) map.tail = std::max(map.tail, other.at + other.length);
  if (placed.empty()) return map;
  std::uint64_t cursor = (placed.front() >> 32) * kSectorBytes;
  auto other = reserved.begin();
  for (const std::uint64_t one : placed) {
    const std::uint64_t at = (one >> 32) * kSectorBytes;
    // A gap that holds anything else is left alone.
    while (other != reserved.end() && other->at < at) {
      cursor = std::max(cursor, other->at + other->length);
      ++other;
    }
    for (std::uint64_t place = rules.place_from(cursor);
         place + rules.length() <= at && map.gaps.size() < SpaceMap::kMostGaps;
         place = rules.place_from(place + rules.length())) {
      map.gaps.push_back(place);
    }
    cursor = std::max(cursor, at + rules.length());
  }
  map.tail = std::max(map.tail, cursor);
  return map;
}

}  // namespace vdisk::vhd
