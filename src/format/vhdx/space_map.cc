// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/space_map.h"

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

}  // namespace vdisk::vhdx
