// SPDX-License-Identifier: Apache-2.0
//
// The parent locator item (MS-VHDX 2.6.2.6, formats.md 2.10): pairs of UTF-16LE texts, of which three name
// paths and two the parent's identity. Windows differs from the document in places; formats.md 2.14 lists
// them.
#include <algorithm>
#include <array>
#include <map>

#include "base/checked.h"
#include "base/utf16.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/metadata.h"

namespace vdisk::vhdx {

namespace {

struct TextRange {
  std::uint32_t at;
  std::uint32_t length;
};

Status judge_texts(std::vector<TextRange> texts, std::uint64_t texts_begin, std::uint64_t item_bytes,
                   std::string_view file_name) {
  for (const TextRange& text : texts) {
    if (text.length == 0 || !is_multiple(text.length, 2) || text.at < texts_begin ||
        !fits_within(text.at, text.length, item_bytes)) {
      return fail(faults::kLocatorMalformed,
                  "{}: parent locator: a text of {} bytes at {:#x} is empty, odd, or outside the item's "
                  "texts ({:#x} to "
                  "{:#x})",
                  file_name, text.length, text.at, texts_begin, item_bytes);
    }
  }
  std::ranges::sort(texts, {}, &TextRange::at);
  for (std::size_t i = 1; i < texts.size(); ++i) {
    if (texts[i].at < texts[i - 1].at + texts[i - 1].length) {
      return fail(faults::kLocatorMalformed, "{}: parent locator: the texts at {:#x} and {:#x} overlap",
                  file_name, texts[i - 1].at, texts[i].at);
    }
  }
  return {};
}

using Pairs = std::map<std::string, std::string, std::less<>>;

/// The GUIDs that the parent's DataWriteGuid must be one of.
Status read_linkage(const Pairs& pairs, std::string_view file_name, Metadata& metadata,
                    ParentLocator& locator) {
  const auto linkage = pairs.find("parent_linkage");
  const auto guid = linkage == pairs.end() ? std::nullopt : Guid::parse(linkage->second);
  if (!guid) {
    return fail(faults::kLocatorLinkage, "{}: parent locator: parent_linkage is {}", file_name,
                linkage == pairs.end() ? "missing" : "no GUID: '" + linkage->second + "'");
  }
  locator.linkage.push_back(*guid);
  const auto second = pairs.find("parent_linkage2");
  if (second == pairs.end()) return {};
  const auto guid2 = Guid::parse(second->second);
  if (!guid2) {
    metadata.notes.push_back("parent_linkage2 is no GUID and is ignored: '" + second->second + "'");
  } else if (!guid2->is_zero()) {
    // Windows always writes the key, with zero for "none"; zero must never match a parent (formats.md 2.10).
    locator.linkage.push_back(*guid2);
  }
  return {};
}

}  // namespace

Status parse_parent_locator(std::span<const std::byte> item, std::string_view file_name, Metadata& metadata) {
  if (item.size() < sizeof(ParentLocatorHeaderLayout)) {
    return fail(faults::kLocatorMalformed, "{}: parent locator: {} bytes hold no header", file_name,
                item.size());
  }
  const auto header = load<ParentLocatorHeaderLayout>(item);
  if (header.locator_type != kVhdxLocatorType) {
    return fail(faults::kLocatorType,
                "{}: the parent locator is of the unknown type {}; the parent can only be found by a locator "
                "of type {}",
                file_name, header.locator_type.to_string(), kVhdxLocatorType.to_string());
  }
  const std::uint64_t texts_begin = sizeof(ParentLocatorHeaderLayout) +
                                    std::uint64_t{header.key_value_count} * sizeof(ParentLocatorEntryLayout);
  if (texts_begin > item.size()) {
    return fail(faults::kLocatorMalformed, "{}: parent locator: {} entries do not fit into {} bytes",
                file_name, header.key_value_count.get(), item.size());
  }
  std::vector<TextRange> texts;
  for (std::size_t i = 0; i < header.key_value_count; ++i) {
    const auto entry = load<ParentLocatorEntryLayout>(
        item.subspan(sizeof(ParentLocatorHeaderLayout) + i * sizeof(ParentLocatorEntryLayout)));
    texts.push_back({entry.key_offset, entry.key_length});
    texts.push_back({entry.value_offset, entry.value_length});
  }
  VDISK_TRY(judge_texts(texts, texts_begin, item.size(), file_name));

  Pairs pairs;
  for (std::size_t i = 0; i < texts.size(); i += 2) {
    const auto text = [&](const TextRange& range) {
      return utf16_to_utf8(item.subspan(range.at, range.length), Utf16Order::kLittle);
    };
    const auto& pair = metadata.locator_pairs.emplace_back(text(texts[i]), text(texts[i + 1]));
    if (!pairs.insert(pair).second) {
      return fail(faults::kLocatorMalformed, "{}: parent locator: the key '{}' is there twice", file_name,
                  pair.first);
    }
  }

  ParentLocator locator;
  VDISK_TRY(read_linkage(pairs, file_name, metadata, locator));
  // The order in which MS-VHDX 2.6.2.6 has the paths tried.
  constexpr std::array<std::pair<std::string_view, ParentCandidate::Kind>, 3> kPaths = {{
      {"relative_path", ParentCandidate::Kind::kRelative},
      {"volume_path", ParentCandidate::Kind::kVolume},
      {"absolute_win32_path", ParentCandidate::Kind::kAbsolute},
  }};
  for (const auto& [key, kind] : kPaths) {
    const auto path = pairs.find(key);
    if (path != pairs.end()) locator.candidates.push_back({kind, path->second, std::string(key)});
  }
  if (locator.candidates.empty()) {
    return fail(faults::kLocatorNoPath,
                "{}: the parent locator has no relative_path, volume_path or absolute_win32_path", file_name);
  }
  metadata.parent = std::move(locator);
  return {};
}

}  // namespace vdisk::vhdx
