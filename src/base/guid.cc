// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <vdisk/types.h>

#include <algorithm>

namespace vdisk::inline v1 {

namespace {

// Which byte of the mixed-endian form each byte of the text form comes from (RFC 4122 4.1.2, Windows GUID).
constexpr std::array<std::size_t, 16> kTextOrder = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::array<std::uint8_t, 16> Guid::to_text_order() const noexcept {
  std::array<std::uint8_t, 16> out{};
  for (std::size_t i = 0; i < 16; ++i) out[i] = bytes[kTextOrder[i]];
  return out;
}

Guid Guid::from_text_order(const std::array<std::uint8_t, 16>& in) noexcept {
  Guid guid;
  for (std::size_t i = 0; i < 16; ++i) guid.bytes[kTextOrder[i]] = in[i];
  return guid;
}

std::string Guid::to_string() const {
  const auto text = to_text_order();
  std::string out;
  for (std::size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    fmt::format_to(std::back_inserter(out), "{:02x}", text[i]);
  }
  return out;
}

std::optional<Guid> Guid::parse(std::string_view text) noexcept {
  if (text.size() == 38 && text.front() == '{' && text.back() == '}') text = text.substr(1, 36);
  if (text.size() != 36) return std::nullopt;
  std::array<std::uint8_t, 16> out{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < 36;) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return std::nullopt;
      continue;
    }
    const int high = hex_value(text[i]);
    const int low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out[at++] = static_cast<std::uint8_t>(high * 16 + low);
    i += 2;
  }
  return from_text_order(out);
}

}  // namespace vdisk::inline v1
