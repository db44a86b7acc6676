// SPDX-License-Identifier: Apache-2.0
#include "chain/fold_case.h"

#include <algorithm>
#include <iterator>

#include "base/utf16.h"

namespace vdisk {

namespace {

// Ranges of Unicode CaseFolding.txt (statuses C and S). step 1: every character of the range moves by
// `delta`; step 2: every second one, counted from `first`, as where upper and lower case alternate.
struct FoldRange {
  char32_t first, last;
  unsigned step;
  std::int32_t delta;
};

constexpr FoldRange kFoldRanges[] = {
    {0x0041, 0x005A, 1, 32}, {0x00C0, 0x00D6, 1, 32}, {0x00D8, 0x00DE, 1, 32}, {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},  {0x0139, 0x0147, 2, 1},  {0x014A, 0x0176, 2, 1},  {0x0178, 0x0178, 1, -121},
    {0x0179, 0x017D, 2, 1},  {0x01CD, 0x01DB, 2, 1},  {0x01DE, 0x01EE, 2, 1},  {0x01F8, 0x021E, 2, 1},
    {0x0222, 0x0232, 2, 1},  {0x0386, 0x0386, 1, 38}, {0x0388, 0x038A, 1, 37}, {0x038C, 0x038C, 1, 64},
    {0x038E, 0x038F, 1, 63}, {0x0391, 0x03A1, 1, 32}, {0x03A3, 0x03AB, 1, 32}, {0x03C2, 0x03C2, 1, 1},
    {0x03D8, 0x03EE, 2, 1},  {0x0400, 0x040F, 1, 80}, {0x0410, 0x042F, 1, 32}, {0x0460, 0x0480, 2, 1},
    {0x048A, 0x04BE, 2, 1},  {0x04C0, 0x04C0, 1, 15}, {0x04C1, 0x04CD, 2, 1},  {0x04D0, 0x052E, 2, 1},
    {0x0531, 0x0556, 1, 48}, {0x1E00, 0x1E94, 2, 1},  {0x1EA0, 0x1EFE, 2, 1},  {0xFF21, 0xFF3A, 1, 32},
};

}  // namespace

char32_t fold_case(char32_t c) noexcept {
  const auto* range =
      std::upper_bound(std::begin(kFoldRanges), std::end(kFoldRanges), c,
                       [](char32_t value, const FoldRange& candidate) { return value < candidate.first; });
  if (range == std::begin(kFoldRanges)) return c;
  --range;
  if (c > range->last || (c - range->first) % range->step != 0) return c;
  return static_cast<char32_t>(static_cast<std::int32_t>(c) + range->delta);
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const std::u32string wide_a = utf8_to_utf32(a);
  const std::u32string wide_b = utf8_to_utf32(b);
  return std::ranges::equal(wide_a, wide_b, {}, fold_case, fold_case);
}

}  // namespace vdisk
