// SPDX-License-Identifier: Apache-2.0
#include "cli/words.h"

#include <CLI/Error.hpp>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "base/checked.h"

namespace vdisk::cli {

namespace {

template <class T, std::size_t kCount>
T parse_word(const std::string& option, const std::string& word,
             const std::array<std::pair<std::string_view, T>, kCount>& table) {
  std::string known;
  for (const auto& [name, value] : table) {
    if (name == word) return value;
    known += known.empty() ? "" : ", ";
    known += name;
  }
  throw CLI::ValidationError(option, "'" + word + "' is none of " + known);
}

constexpr std::array<std::pair<std::string_view, DiskType>, 3> kTypes = {
    {{"fixed", DiskType::kFixed},
     {"dynamic", DiskType::kDynamic},
     {"differencing", DiskType::kDifferencing}}};
constexpr std::array<std::pair<std::string_view, Preallocation>, 3> kPreallocations = {
    {{"none", Preallocation::kNone}, {"sparse", Preallocation::kSparse}, {"full", Preallocation::kFull}}};

}  // namespace

std::uint64_t parse_size(const std::string& option, const std::string& word) {
  const auto refuse = [&] {
    return CLI::ValidationError(option, "'" + word + "' is no size; write 1048576, 512K, 64M, 10G or 2T");
  };
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc()) throw refuse();
  std::string_view unit(end, static_cast<std::size_t>(word.data() + word.size() - end));
  if (unit.empty()) return number;
  const char letter = static_cast<char>(unit.front() & ~0x20);
  unit.remove_prefix(1);
  const auto power = std::string_view("KMGT").find(letter);
  if (power == std::string_view::npos || !(unit.empty() || unit == "i" || unit == "iB" || unit == "B"))
    throw refuse();
  const auto bytes = checked_multiply(number, std::uint64_t{1} << (10 * (power + 1)));
  if (!bytes) throw refuse();
  return *bytes;
}

std::uint32_t parse_small_size(const std::string& option, const std::string& word) {
  const std::uint64_t bytes = parse_size(option, word);
  if (bytes == 0 || bytes > std::numeric_limits<std::uint32_t>::max()) {
    throw CLI::ValidationError(option, "'" + word + "' is not between 1 byte and 4 GiB");
  }
  return static_cast<std::uint32_t>(bytes);
}

FormatId parse_format_word(const std::string& option, const std::string& word) {
  const auto format = parse_format(word);
  if (!format) throw CLI::ValidationError(option, "'" + word + "' is none of raw, vhd, vhdx, vhdset, iso");
  return *format;
}

DiskType parse_type(const std::string& option, const std::string& word) {
  return parse_word(option, word, kTypes);
}

Preallocation parse_preallocation(const std::string& option, const std::string& word) {
  return parse_word(option, word, kPreallocations);
}

}  // namespace vdisk::cli
