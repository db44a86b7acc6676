// SPDX-License-Identifier: Apache-2.0
#include "capi/wide.h"

#include <cwchar>

#include "base/utf16.h"

namespace vdisk::capi {

static_assert(sizeof(wchar_t) == 4, "the library's wide strings are UTF-32");

std::optional<std::string> to_utf8(const WCHAR* text) {
  std::u32string units;
  for (std::size_t i = 0; text[i] != L'\0'; ++i) {
    const auto unit = static_cast<char32_t>(text[i]);
    const auto next = static_cast<char32_t>(text[i + 1]);
    if (unit >= 0xD800 && unit <= 0xDBFF && next >= 0xDC00 && next <= 0xDFFF) {
      units += 0x10000 + ((unit - 0xD800) << 10) + (next - 0xDC00);
      ++i;
    } else {
      units += unit;
    }
  }
  return utf32_to_utf8(units);
}

std::wstring to_wide(std::string_view utf8) {
  const std::u32string text = utf8_to_utf32(utf8);
  return {text.begin(), text.end()};
}

}  // namespace vdisk::capi
