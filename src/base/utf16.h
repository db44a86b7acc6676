// SPDX-License-Identifier: Apache-2.0
//
// UTF-16 to and from UTF-8, independent of any locale. Ill-formed input is replaced (U+FFFD), never refused:
// paths in images are hints, and what cannot be converted cannot be found. `*_strict` reports ill-formed
// input instead.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vdisk {

enum class Utf16Order { kLittle, kBig };

/// Decodes stored UTF-16; an odd last byte is ignored.
std::string utf16_to_utf8(std::span<const std::byte> stored, Utf16Order order);
std::string utf16_to_utf8(std::u16string_view text);
/// Unset when the UTF-8 is ill-formed.
std::optional<std::u16string> utf8_to_utf16(std::string_view text);
/// UTF-32 (Linux wchar_t) to UTF-8; unset on surrogates and values past U+10FFFF.
std::optional<std::string> utf32_to_utf8(std::u32string_view text);
/// Ill-formed input is replaced.
std::u32string utf8_to_utf32(std::string_view text);

}  // namespace vdisk
