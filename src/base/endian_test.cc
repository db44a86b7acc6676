// SPDX-License-Identifier: Apache-2.0
#include "base/endian.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/checked.h"

namespace vdisk {
namespace {

// The expected bytes are spelled out, so these hold on a host of either byte order.
TEST(Endian, StoredBytesAreTheFormatsNotTheHosts) {
  struct Layout {
    std::uint8_t odd;  // whatever follows is unaligned
    Le<std::uint16_t> le16;
    Be<std::uint16_t> be16;
    Le<std::uint32_t> le32;
    Be<std::uint32_t> be32;
    Le<std::uint64_t> le64;
    Be<std::uint64_t> be64;
  };
  static_assert(sizeof(Layout) == 29 && alignof(Layout) == 1);
  constexpr std::array<std::uint8_t, 29> kBytes = {0xAA, 0x02, 0x01, 0x01, 0x02, 0x04, 0x03, 0x02, 0x01, 0x01,
                                                   0x02, 0x03, 0x04, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02,
                                                   0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
  const auto layout = load<Layout>(std::as_bytes(std::span(kBytes)));
  EXPECT_EQ(layout.le16, 0x0102U);
  EXPECT_EQ(layout.be16, 0x0102U);
  EXPECT_EQ(layout.le32, 0x01020304U);
  EXPECT_EQ(layout.be32, 0x01020304U);
  EXPECT_EQ(layout.le64, 0x0102030405060708U);
  EXPECT_EQ(layout.be64, 0x0102030405060708U);

  const Layout written{0xAA,
                       std::uint16_t{0x0102},
                       std::uint16_t{0x0102},
                       0x01020304U,
                       0x01020304U,
                       std::uint64_t{0x0102030405060708},
                       std::uint64_t{0x0102030405060708}};
  std::array<std::byte, 29> bytes{};
  store(std::span(bytes), written);
  EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span(kBytes))));
  EXPECT_TRUE(std::ranges::equal(bytes_of(written), std::as_bytes(std::span(kBytes))));
}

TEST(Endian, WorksInConstantExpressions) {
  static_assert(Le<std::uint32_t>(5U) == 5U);
  static_assert(Be<std::uint64_t>(std::uint64_t{1} << 63).get() == std::uint64_t{1} << 63);
  static_assert(Be<std::uint8_t>(std::uint8_t{7}) == 7);
  Be<std::uint32_t> value;
  EXPECT_EQ(value, 0U) << "a layout struct begins as zeros";
  value = 0xFFFFFFFE;
  EXPECT_EQ(std::to_integer<int>(bytes_of(value)[3]), 0xFE);
}

TEST(Checked, SaysWhenAResultDoesNotFit) {
  EXPECT_EQ(checked_add<std::uint64_t>(UINT64_MAX - 1, 1), UINT64_MAX);
  EXPECT_FALSE(checked_add<std::uint64_t>(UINT64_MAX, 1));
  EXPECT_EQ(checked_multiply<std::uint32_t>(0x10000, 0xFFFF), 0xFFFF0000U);
  EXPECT_FALSE(checked_multiply<std::uint32_t>(0x10000, 0x10000));
  EXPECT_FALSE(checked_add<std::uint8_t>(200, 56));
}

TEST(Checked, RangesDoNotOverflow) {
  EXPECT_TRUE(fits_within(0, 10, 10));
  EXPECT_TRUE(fits_within(10, 0, 10));
  EXPECT_FALSE(fits_within(11, 0, 10));
  EXPECT_FALSE(fits_within(1, 10, 10));
  EXPECT_FALSE(fits_within(UINT64_MAX, 2, 10));
  EXPECT_FALSE(fits_within(2, UINT64_MAX, 10));
  EXPECT_TRUE(ranges_overlap(0, 10, 9, 1));
  EXPECT_FALSE(ranges_overlap(0, 10, 10, 1));
  EXPECT_FALSE(ranges_overlap(5, 0, 0, 10)) << "an empty range shares no byte";
}

TEST(Checked, RoundsToUnits) {
  static_assert(divide_up(0, 5) == 0 && divide_up(1, 5) == 1 && divide_up(5, 5) == 1 && divide_up(6, 5) == 2);
  static_assert(divide_up(UINT64_MAX, 2) == std::uint64_t{1} << 63);
  static_assert(round_up(kMiB + 1, kMiB) == 2 * kMiB && round_up(kMiB, kMiB) == kMiB);
  static_assert(round_down(2 * kMiB - 1, kMiB) == kMiB && !is_multiple(511, 512) && is_multiple(0, 512));
  EXPECT_EQ(kTiB, std::uint64_t{1} << 40);
}

}  // namespace
}  // namespace vdisk
