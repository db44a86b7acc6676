// SPDX-License-Identifier: Apache-2.0
//
// The text form of attachment records.
#include <algorithm>
#include <array>
#include <charconv>

#include "attach/registry.h"

namespace vdisk::attach {

namespace {

constexpr std::string_view kFirstLine = "vdisk-attachment 1";

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || byte == '%') {
      out += fmt::format("%{:02X}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte < 0x20 || byte == 0x7F) return std::nullopt;
    if (byte != '%') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const auto value = text.size() < 3 ? std::nullopt : parse_number<std::uint8_t>(text.substr(1, 2), 16);
    if (!value || *value == 0) return std::nullopt;  // no path holds a NUL
    out += static_cast<char>(*value);
    text.remove_prefix(3);
  }
  return out;
}

template <class T>
bool assign(T& into, std::optional<T> value) {
  if (value) into = *std::move(value);
  return value.has_value();
}

bool assign_flag(bool& into, std::string_view text) {
  into = text == "1";
  return text == "0" || text == "1";
}

constexpr std::array<std::string_view, 8> kKeys = {"handshake",   "image",     "image_device", "image_inode",
                                                   "device_node", "read_only", "permanent",    "process"};

bool set_field(AttachmentRecord& record, std::size_t key, std::string_view value) {
  switch (key) {
    case 0:
      return assign(record.handshake, parse_number<std::uint32_t>(value));
    case 1:
      return assign(record.image_path, unescape(value));
    case 2:
      return assign(record.image.device, parse_number<std::uint64_t>(value));
    case 3:
      return assign(record.image.inode, parse_number<std::uint64_t>(value));
    case 4:
      return assign(record.device_node, unescape(value));
    case 5:
      return assign_flag(record.read_only, value);
    case 6:
      return assign_flag(record.permanent, value);
    default:
      return assign(record.process, parse_number<std::uint64_t>(value));
  }
}

// Takes one line off `text`; unset when it has no end (a record that was cut off).
std::optional<std::string_view> take_line(std::string_view& text) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

std::string format_record(const AttachmentRecord& record) {
  const std::array<std::string, kKeys.size()> values = {fmt::format("{}", record.handshake),
                                                        escape(record.image_path),
                                                        fmt::format("{}", record.image.device),
                                                        fmt::format("{}", record.image.inode),
                                                        escape(record.device_node),
                                                        record.read_only ? "1" : "0",
                                                        record.permanent ? "1" : "0",
                                                        fmt::format("{}", record.process)};
  std::string text = fmt::format("{}\n", kFirstLine);
  for (std::size_t i = 0; i < kKeys.size(); ++i) text += fmt::format("{}={}\n", kKeys[i], values[i]);
  return text;
}

std::optional<AttachmentRecord> parse_record(std::string_view text) {
  if (text.size() > kMostRecordBytes || take_line(text) != kFirstLine) return std::nullopt;
  AttachmentRecord record;
  unsigned seen = 0;
  while (!text.empty()) {
    const auto line = take_line(text);
    const auto equals = line ? line->find('=') : std::string_view::npos;
    if (equals == std::string_view::npos) return std::nullopt;
    const auto* key = std::ranges::find(kKeys, line->substr(0, equals));
    if (key == kKeys.end()) continue;
    const auto index = static_cast<std::size_t>(key - kKeys.begin());
    if ((seen & (1U << index)) != 0 || !set_field(record, index, line->substr(equals + 1)))
      return std::nullopt;
    seen |= 1U << index;
  }
  if (seen != (1U << kKeys.size()) - 1) return std::nullopt;
  return record;
}

}  // namespace vdisk::attach
