// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace vdisk {
namespace {

std::uint32_t crc_of(std::size_t count, int value) {
  return crc32c(std::vector<std::byte>(count, static_cast<std::byte>(value)));
}

// The vectors of formats.md 2.6.
TEST(Crc32c, MatchesTheKnownVectors) {
  EXPECT_EQ(crc32c(std::as_bytes(std::span(std::string_view("123456789")))), 0xE3069283U);
  EXPECT_EQ(crc_of(32, 0x00), 0x8A9136AAU);
  EXPECT_EQ(crc_of(32, 0xFF), 0x62A8AB43U);
  EXPECT_EQ(crc_of(4096, 0x00), 0x98F94189U);
  EXPECT_EQ(crc_of(65536, 0x00), 0x72C0C4A4U);
}

TEST(Crc32c, CountsTheChecksumFieldAsZero) {
  std::vector<std::byte> bytes(4096, std::byte{0x5a});
  const std::vector<std::byte> original = bytes;
  for (std::size_t i = 4; i < 8; ++i) bytes[i] = std::byte{0};
  EXPECT_EQ(crc32c_with_zero_field(original, 4), crc32c(bytes));
}

TEST(Crc32c, SeesASingleByteAmongZeros) {
  std::vector<std::byte> bytes(4097);
  EXPECT_TRUE(is_all_zero(bytes));
  bytes.back() = std::byte{1};
  EXPECT_FALSE(is_all_zero(bytes));
}

}  // namespace
}  // namespace vdisk
