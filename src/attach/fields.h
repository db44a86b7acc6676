// SPDX-License-Identifier: Apache-2.0
//
// `key=value` lines: the text of registry records and of all that client and server say to one another. In
// values control characters and '%' are %XX, so that a line is a line whatever bytes a path holds.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vdisk::attach {

/// Keys with their values, in the order in which they were written; a key may occur several times.
class Fields {
 public:
  void add(std::string_view key, std::string_view value) { fields_.emplace_back(key, value); }
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }  // no bool
  void add(std::string_view key, std::uint64_t value);
  void add(std::string_view key, bool value) { add(key, std::uint64_t{value}); }

  /// Unset unless the key occurs exactly once.
  std::optional<std::string> text(std::string_view key) const;
  std::vector<std::string> all(std::string_view key) const;
  /// "0" or "1".
  std::optional<bool> flag(std::string_view key) const;
  template <std::unsigned_integral T>
  std::optional<T> number(std::string_view key) const {
    const auto word = text(key);
    if (!word) return std::nullopt;
    T value{};
    const auto [end, error] = std::from_chars(word->data(), word->data() + word->size(), value);
    if (word->empty() || error != std::errc{} || end != word->data() + word->size()) return std::nullopt;
    return value;
  }
  bool has(std::string_view key) const { return !all(key).empty(); }
  void remove(std::string_view key);

  /// A line for each field.
  std::string format() const;
  /// Unset for a line without '=' or end, for a bad escape, and for an escaped NUL, which no path holds.
  static std::optional<Fields> parse(std::string_view text);

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace vdisk::attach
