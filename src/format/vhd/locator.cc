// SPDX-License-Identifier: Apache-2.0
//
// Parent locators: where a child says that its parent is (formats.md 1.4).
#include <algorithm>

#include "base/checked.h"
#include "base/utf16.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

std::string_view name_of(Platform code) noexcept {
  switch (code) {
    case Platform::kNone:
      return "none";
    case Platform::kWi2r:
      return "Wi2r";
    case Platform::kWi2k:
      return "Wi2k";
    case Platform::kW2ru:
      return "W2ru";
    case Platform::kW2ku:
      return "W2ku";
    case Platform::kMac:
      return "Mac";
    case Platform::kMacX:
      return "MacX";
  }
  return "";
}

void cut_at_nul(std::string& text) {
  const auto nul = text.find('\0');
  if (nul != std::string::npos) text.resize(nul);
}

std::string as_text(std::span<const std::byte> bytes) {
  std::string text(bytes.size(), '\0');
  std::ranges::transform(bytes, text.begin(), [](std::byte b) { return static_cast<char>(b); });
  return text;
}

/// The deprecated locators are "ANSI" of an unknown code page: UTF-8 if it is that, else Latin-1
/// (*unverified*).
std::string decode_ansi(std::span<const std::byte> bytes) {
  std::string text = as_text(bytes);
  if (utf8_to_utf16(text)) return text;
  std::u16string units;
  for (const char c : text) units.push_back(static_cast<unsigned char>(c));
  return utf16_to_utf8(units);
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The path of a file URL: "file://localhost/a%20b" is "/a b", and blktap's "file://./base.vhd" is
/// "./base.vhd".
std::string decode_url(std::span<const std::byte> bytes) {
  const std::string stored = as_text(bytes);
  std::string_view url = stored;
  constexpr std::string_view kScheme = "file://";
  constexpr std::string_view kHost = "localhost/";
  if (url.starts_with(kScheme)) {
    url.remove_prefix(kScheme.size());
    if (url.starts_with(kHost)) url.remove_prefix(kHost.size() - 1);
  }
  std::string path;
  for (std::size_t i = 0; i < url.size(); ++i) {
    if (url[i] == '%' && i + 2 < url.size() && hex_digit(url[i + 1]) >= 0 && hex_digit(url[i + 2]) >= 0) {
      path += static_cast<char>(hex_digit(url[i + 1]) * 16 + hex_digit(url[i + 2]));
      i += 2;
    } else {
      path += url[i];
    }
  }
  return path;
}

std::string decode(Platform code, std::span<const std::byte> bytes) {
  std::string text;
  switch (code) {
    case Platform::kW2ru:
    case Platform::kW2ku:
      text = utf16_to_utf8(bytes, Utf16Order::kLittle);
      break;
    case Platform::kWi2r:
    case Platform::kWi2k:
      text = decode_ansi(bytes);
      break;
    case Platform::kMacX:
      text = decode_url(bytes);
      break;
    case Platform::kMac:
    case Platform::kNone:
      break;
  }
  cut_at_nul(text);
  return text;
}

std::string parent_file_name(const DynamicHeader& header) {
  std::string name = utf16_to_utf8(header.parent_unicode_name, Utf16Order::kBig);
  cut_at_nul(name);
  const auto separator = name.find_last_of("\\/");
  return separator == std::string::npos ? name : name.substr(separator + 1);
}

}  // namespace

Result<std::vector<LocatorText>> read_locators(File& file, const DynamicHeader& header,
                                               std::uint64_t file_bytes) {
  std::vector<LocatorText> texts;
  for (const LocatorEntry& entry : header.parent_locators) {
    const auto code = static_cast<Platform>(entry.platform_code.get());
    if (code == Platform::kNone) continue;
    LocatorText locator{entry, {}, {}, name_of(code)};
    if (locator.code_name.empty()) {
      locator.problem = fmt::format("its platform code {:#010x} is unknown", entry.platform_code.get());
    } else if (entry.data_length == 0) {
      locator.problem = "it is empty";
    } else if (entry.data_length > kMostLocatorBytes) {
      locator.problem =
          fmt::format("its text of {} bytes is longer than {}", entry.data_length.get(), kMostLocatorBytes);
    } else if (!fits_within(entry.data_offset, entry.data_length, file_bytes)) {
      locator.problem = fmt::format("its text at {:#x}, {} bytes, reaches past the file's end at {:#x}",
                                    entry.data_offset.get(), entry.data_length.get(), file_bytes);
    } else if (code != Platform::kMac) {
      std::vector<std::byte> bytes(entry.data_length);
      VDISK_TRY(read_exactly(file, FileOffset{entry.data_offset}, bytes));
      locator.text = decode(code, bytes);
      if (locator.text.empty()) locator.problem = "its text is empty";
    }
    texts.push_back(std::move(locator));
  }
  return texts;
}

ParentLocator parent_locator(const DynamicHeader& header, const std::vector<LocatorText>& texts) {
  using Kind = ParentCandidate::Kind;
  struct Wanted {
    Platform code;
    Kind kind;
  };
  // The VHD spec gives no order; relative first is our choice (formats.md 1.4).
  constexpr Wanted kOrder[] = {{Platform::kW2ru, Kind::kRelative},
                               {Platform::kW2ku, Kind::kAbsolute},
                               {Platform::kMacX, Kind::kAbsolute},
                               {Platform::kWi2r, Kind::kRelative},
                               {Platform::kWi2k, Kind::kAbsolute}};
  ParentLocator parent;
  for (const Wanted& wanted : kOrder) {
    for (const LocatorText& locator : texts) {
      if (locator.text.empty() || locator.entry.platform_code != static_cast<std::uint32_t>(wanted.code))
        continue;
      Kind kind = wanted.kind;
      if (wanted.code == Platform::kMacX && !locator.text.starts_with('/')) kind = Kind::kRelative;
      parent.candidates.push_back({kind, locator.text, std::string(locator.code_name)});
    }
  }
  if (std::string name = parent_file_name(header); !name.empty()) {
    parent.candidates.push_back({Kind::kName, std::move(name), "parent_unicode_name"});
  }
  // A zero id is Xen's way to name a raw parent (formats.md 1.3); a raw image's identifier is zero as well.
  parent.linkage.push_back(unique_id_to_guid(header.parent_unique_id));
  // Windows 10 stores 0: not recorded (formats.md 1.3).
  if (header.parent_timestamp != 0) parent.timestamp = header.parent_timestamp;
  return parent;
}

}  // namespace vdisk::vhd
