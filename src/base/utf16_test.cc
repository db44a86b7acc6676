// SPDX-License-Identifier: Apache-2.0
#include "base/utf16.h"

#include <gtest/gtest.h>

#include <vector>

namespace vdisk {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(Utf16, DecodesBothByteOrders) {
  EXPECT_EQ(utf16_to_utf8(bytes({0x41, 0, 0xDF, 0, 0xC6, 0x30}), Utf16Order::kLittle), "A\u00DF\u30C6");
  EXPECT_EQ(utf16_to_utf8(bytes({0, 0x41, 0, 0xDF, 0x30, 0xC6}), Utf16Order::kBig), "A\u00DF\u30C6");
  EXPECT_EQ(utf16_to_utf8(bytes({0x3D, 0xD8, 0x00, 0xDE}), Utf16Order::kLittle), "\U0001F600");
  EXPECT_EQ(utf16_to_utf8(bytes({0, 0x41, 0x99}), Utf16Order::kBig), "A") << "an odd last byte is ignored";
  EXPECT_EQ(utf16_to_utf8(bytes({}), Utf16Order::kBig), "");
}

TEST(Utf16, LoneSurrogatesAreReplaced) {
  EXPECT_EQ(utf16_to_utf8(std::u16string{0xD800}), "\uFFFD");
  EXPECT_EQ(utf16_to_utf8(std::u16string{0xDC00, u'a'}), "\uFFFDa");
  EXPECT_EQ(utf16_to_utf8(std::u16string{0xD800, 0xD800, 0xDC00}), "\uFFFD\U00010000");
  EXPECT_EQ(utf16_to_utf8(std::u16string{0xD83D, u'a'}), "\uFFFDa");
}

TEST(Utf16, EveryScalarValueComesBack) {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 251) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const auto utf8 = utf32_to_utf8(std::u32string_view(&c, 1));
    ASSERT_TRUE(utf8);
    const auto utf16 = utf8_to_utf16(*utf8);
    ASSERT_TRUE(utf16) << std::hex << static_cast<std::uint32_t>(c);
    EXPECT_EQ(utf16->size(), c < 0x10000 ? 1U : 2U);
    EXPECT_EQ(utf16_to_utf8(*utf16), *utf8);
    EXPECT_EQ(utf8_to_utf32(*utf8), std::u32string(1, c));
  }
}

// RFC 3629: overlong forms, surrogates, values past U+10FFFF, cut and stray continuations.
TEST(Utf16, IllFormedUtf8IsRefusedOrReplaced) {
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xE0\x80\x80", "\xE2\x82", "\xED\xA0\x80",
        "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xC3(", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(utf8_to_utf16(text)) << text;
    EXPECT_NE(utf8_to_utf32(text).find(U'\uFFFD'), std::u32string::npos) << text;
  }
  EXPECT_EQ(utf8_to_utf32("a\xFFz"), U"a\uFFFDz");
}

TEST(Utf16, Utf32OutsideUnicodeIsRefused) {
  EXPECT_FALSE(utf32_to_utf8(std::u32string{0xD800}));
  EXPECT_FALSE(utf32_to_utf8(std::u32string{0x110000}));
  EXPECT_EQ(utf32_to_utf8(U"").value_or("x"), "");
}

}  // namespace
}  // namespace vdisk
