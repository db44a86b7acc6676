// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <vdisk/types.h>

namespace vdisk {
namespace {

TEST(Guid, KeepsTheMixedEndianOrderOfTheFormatSheet) {
  const auto guid = Guid::parse("{CAA16737-FA36-4D43-B3B6-33F0AA44E76B}");
  ASSERT_TRUE(guid);
  const std::array<std::uint8_t, 16> expected = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
  EXPECT_EQ(guid->bytes, expected);
  EXPECT_EQ(guid->to_string(), "caa16737-fa36-4d43-b3b6-33f0aa44e76b");
  EXPECT_EQ(Guid::parse("caa16737-fa36-4d43-b3b6-33f0aa44e76b"), guid);
  EXPECT_EQ(Guid::from_text_order(guid->to_text_order()), *guid);
}

TEST(Guid, RefusesWhatIsNoGuid) {
  EXPECT_FALSE(Guid::parse(""));
  EXPECT_FALSE(Guid::parse("caa16737fa364d43b3b633f0aa44e76b"));
  EXPECT_FALSE(Guid::parse("{caa16737-fa36-4d43-b3b6-33f0aa44e76b"));
  EXPECT_FALSE(Guid::parse("caa16737-fa36-4d43-b3b6-33f0aa44e76g"));
}

}  // namespace
}  // namespace vdisk
