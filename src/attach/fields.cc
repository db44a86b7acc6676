// SPDX-License-Identifier: Apache-2.0
#include "attach/fields.h"

#include <fmt/format.h>

namespace vdisk::attach {

namespace {

bool is_control(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_control(c) || c == '%') {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    if (is_control(text.front())) return std::nullopt;
    if (text.front() != '%') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    std::uint8_t value = 0;
    const std::string_view digits = text.substr(1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc{} || end != digits.data() + 2 || value == 0)
      return std::nullopt;
    out += static_cast<char>(value);
    text.remove_prefix(3);
  }
  return out;
}

}  // namespace

void Fields::add(std::string_view key, std::uint64_t value) { add(key, fmt::format("{}", value)); }

std::optional<std::string> Fields::text(std::string_view key) const {
  auto values = all(key);
  if (values.size() != 1) return std::nullopt;
  return std::move(values.front());
}

std::vector<std::string> Fields::all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : fields_) {
    if (name == key) values.push_back(value);
  }
  return values;
}

void Fields::remove(std::string_view key) {
  std::erase_if(fields_, [key](const auto& field) { return field.first == key; });
}

std::optional<bool> Fields::flag(std::string_view key) const {
  const auto word = text(key);
  if (word == "1") return true;
  if (word == "0") return false;
  return std::nullopt;
}

std::string Fields::format() const {
  std::string text;
  for (const auto& [key, value] : fields_) text += fmt::format("{}={}\n", key, escape(value));
  return text;
}

std::optional<Fields> Fields::parse(std::string_view text) {
  Fields fields;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto equals = text.find('=');
    if (end == std::string_view::npos || equals >= end) return std::nullopt;
    auto value = unescape(text.substr(equals + 1, end - equals - 1));
    if (!value) return std::nullopt;
    fields.add(text.substr(0, equals), *value);
    text.remove_prefix(end + 1);
  }
  return fields;
}

}  // namespace vdisk::attach
