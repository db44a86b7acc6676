// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/space_map.h"

#include <algorithm>
#include <bit>

namespace vdisk::vhdx {

SpaceMap::Claim SpaceMap::claim(std::uint64_t first, std::uint64_t count) {
  Claim result = Claim::kFree;
  std::uint64_t page_number = ~std::uint64_t{0};
  Page* page = nullptr;
  for (std::uint64_t mib = first; mib < first + count; ++mib) {
    if (mib / kBitsPerPage != page_number) {
      page_number = mib / kBitsPerPage;
      auto found = pages_.find(page_number);
      if (found == pages_.end()) {
        if (pages_.size() == kMostPages) return Claim::kTooFar;
        found = pages_.emplace(page_number, std::make_unique<Page>()).first;
      }
      page = found->second.get();
    }
    std::uint64_t& word = (*page)[mib % kBitsPerPage / 64];
    const std::uint64_t bit = std::uint64_t{1} << (mib % 64);
    if ((word & bit) != 0) {
      result = Claim::kTaken;
    } else {
      word |= bit;
      ++taken_;
    }
  }
  return result;
}

void SpaceMap::for_each_free(std::uint64_t end,
                             const std::function<bool(std::uint64_t, std::uint64_t)>& use) const {
  std::uint64_t free_from = 0;  // Everything in [free_from, at) is free.
  for (std::uint64_t at = 0; at < end;) {
    const auto found = pages_.find(at / kBitsPerPage);
    if (found == pages_.end()) {
      at = std::min(end, (at / kBitsPerPage + 1) * kBitsPerPage);
      continue;
    }
    const std::uint64_t word = (*found->second)[at % kBitsPerPage / 64] >> (at % 64);
    if (word == 0) {
      at += 64 - at % 64;
    } else if (const auto zeros = static_cast<unsigned>(std::countr_zero(word)); zeros != 0) {
      at += zeros;
    } else {
      if (free_from < at && !use(free_from, at - free_from)) return;
      at += static_cast<unsigned>(std::countr_one(word));
      free_from = at;
    }
  }
  if (free_from < end) use(free_from, end - free_from);
}

}  // namespace vdisk::vhdx
