// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/parse.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/text.h"
#include "format/vhd/faults.h"
#include "format/vhd/geometry.h"

namespace vdisk::vhd {

namespace {

/// The characters of a tag, without the padding; what is not printable ASCII as \xNN.
std::string tag_text(const Tag4& tag) {
  std::size_t used = tag.size();
  while (used > 0 && (tag[used - 1] == '\0' || tag[used - 1] == ' ')) --used;
  std::string text;
  for (std::size_t i = 0; i < used; ++i) {
    const auto c = static_cast<unsigned char>(tag[i]);
    text += c >= 0x20 && c < 0x7F ? std::string(1, tag[i]) : fmt::format("\\x{:02x}", c);
  }
  return text;
}

std::string version_text(std::uint32_t version) {
  return fmt::format("{}.{}", version >> 16, version & 0xFFFF);
}

/// ".v01" to ".v64": a part of a split image of Virtual PC (formats.md 1.16).
bool named_as_split_part(std::string_view name) noexcept {
  if (name.size() < 4) return false;
  const std::string_view end = name.substr(name.size() - 4);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return end[0] == '.' && (end[1] == 'v' || end[1] == 'V') && digit(end[2]) && digit(end[3]);
}

std::unexpected<Error> fail_split(const File& file) {
  return fail(faults::kSplit,
              "{}: this is one part of a split VHD, which cannot be opened alone: join the parts in order "
              "(cat disk.vhd disk.v01 disk.v02 … > whole.vhd) and open the result",
              file.name());
}

/// Says why no footer could be chosen.
std::unexpected<Error> fail_without_footer(const File& file, const Footers& footers) {
  using State = FooterCopy::State;
  const bool front_counts = footers.front.present() && footers.front_is_copy();
  const State best = front_counts ? std::max(footers.end.state, footers.front.state) : footers.end.state;
  if (best == State::kBadVersion) {
    const FooterCopy& copy = footers.end.state == best ? footers.end : footers.front;
    return fail(faults::kFooterVersion,
                "{}: the footer at {:#x} is of version {}, and only version 1 is known", file.name(),
                copy.at.bytes, version_text(copy.footer.format_version));
  }
  if (best == State::kBadChecksum) {
    const FooterCopy& copy = footers.end.state == best ? footers.end : footers.front;
    return fail(
        faults::kFooterChecksum,
        "{}: the footer at {:#x} has checksum {:#010x} where {:#010x} is right, and no other copy is good: "
        "the file is damaged; restore it from a backup",
        file.name(), copy.at.bytes, copy.footer.checksum.get(), checksum_of(copy.footer));
  }
  if (named_as_split_part(file.name())) return fail_split(file);
  return fail(
      faults::kFooterMissing,
      "{}: no VHD footer in the last 512 bytes, at offset 0 or in the last MiB of {} bytes: the file is cut "
      "short, is no VHD, or is the first part of a split one (look for .v01 beside it)",
      file.name(), footers.file_bytes);
}

Status choose_footer(File& file, Parsed& parsed) {
  parsed.footers = VDISK_TRY(survey_footers(file));
  VDISK_TRY(search_footer(file, parsed.footers));
  const Footers& footers = parsed.footers;
  using State = FooterCopy::State;
  const bool poisoned = footers.end.state == State::kPoisoned ||
                        (footers.front.state == State::kPoisoned && footers.front_is_copy());
  if (footers.chosen_place != FooterPlace::kNone) {
    parsed.footer = footers.chosen().footer;
  } else if (footers.end.present()) {
    parsed.footer = footers.end.footer;
  } else if (footers.front.present()) {
    parsed.footer = footers.front.footer;
  }
  if (poisoned) {
    return fail(
        faults::kDisabled,
        "{}: this VHD was disabled on purpose (its cookie is v_poison, as Xen's tools write it) and is not "
        "opened",
        file.name());
  }
  if (footers.chosen_place == FooterPlace::kNone) return fail_without_footer(file, footers);
  parsed.limit_bytes = footers.end.present() ? footers.end.at.bytes : footers.file_bytes;
  return {};
}

void describe_footer(Parsed& parsed) {
  const Footer& footer = *parsed.footer;
  ImageProperties& properties = parsed.properties;
  properties.identifier = unique_id_to_guid(footer.unique_id);
  properties.virtual_disk_id = properties.identifier;
  properties.timestamp = footer.timestamp;
  const std::string application = tag_text(footer.creator_application);
  if (!application.empty()) {
    properties.creator = fmt::format("{} {}", application, version_text(footer.creator_version));
  }
  auto& details = properties.details;
  details.emplace_back("creator_host_os", tag_text(footer.creator_host_os));
  details.emplace_back("chs_geometry", fmt::format("{}/{}/{}", footer.cylinders.get(), footer.heads,
                                                   footer.sectors_per_track));
  details.emplace_back("footer_copy", std::string(to_string(parsed.footers.chosen_place)));
  details.emplace_back("saved_state", footer.saved_state != 0 ? "true" : "false");
  details.emplace_back("timestamp", utc_text(kEpochUnixSeconds + footer.timestamp));
}

/// What a reader should know of how the footer was found (formats.md 1.13, cases 2 to 6 and 9).
void note_footers(Parsed& parsed) {
  const Footers& footers = parsed.footers;
  auto& notes = parsed.properties.notes;
  switch (footers.chosen_place) {
    case FooterPlace::kShort:
      notes.emplace_back("the footer is 511 bytes long, as Virtual PC wrote it before 2004");
      break;
    case FooterPlace::kRounded:
      notes.push_back(
          fmt::format("the file's length of {} bytes is no multiple of 512; the footer was found at {:#x}",
                      footers.file_bytes, footers.end.at.bytes));
      break;
    case FooterPlace::kFront:
      notes.push_back(fmt::format("the footer at the end is {}; the copy at the front was used",
                                  footers.end.present() ? "damaged" : "missing"));
      break;
    case FooterPlace::kFound:
      parsed.make_read_only(
          faults::kTrailingBytes,
          fmt::format("{} bytes follow the footer at {:#x}; cut the file to {} bytes to repair it",
                      footers.file_bytes - footers.end.at.bytes - kFooterBytes, footers.end.at.bytes,
                      footers.end.at.bytes + kFooterBytes));
      break;
    case FooterPlace::kEnd:
    case FooterPlace::kNone:
      break;
  }
  if (footers.disagree()) {
    parsed.make_read_only(
        faults::kFootersDiffer,
        fmt::format(
            "the footer at the end says type {} and {} bytes, the copy at the front type {} and {} bytes; "
            "the one at the end is used",
            footers.end.footer.disk_type.get(), footers.end.footer.current_size.get(),
            footers.front.footer.disk_type.get(), footers.front.footer.current_size.get()));
  } else if (!parsed.fixed() && footers.chosen_place != FooterPlace::kFront && !footers.front.good()) {
    notes.emplace_back("the footer's copy at the front is damaged");
  }
  if (parsed.footer->saved_state != 0) {
    notes.emplace_back("a virtual machine was saved on this disk: do not compact, expand or merge it");
  }
  if (parsed.footer->current_size > kMostSizeBytes) {
    notes.emplace_back("the disk is larger than the VHD specification's 2040 GiB; many programs refuse it");
  }
}

Status validate_footer(const File& file, Parsed& parsed) {
  const Footer& footer = *parsed.footer;
  const std::uint32_t type = footer.disk_type;
  if (type < static_cast<std::uint32_t>(DiskType::kFixed) ||
      type > static_cast<std::uint32_t>(DiskType::kDifferencing)) {
    return fail(faults::kType, "{}: the footer's disk type is {}; only 2, 3 and 4 exist", file.name(), type);
  }
  parsed.properties.type = static_cast<DiskType>(type);
  const std::uint64_t size = footer.current_size;
  // Fixed disks past 2040 GiB exist (Azure, formats.md 1.18); a block table cannot address more.
  if (size == 0 || !is_multiple(size, kSectorBytes) || (!parsed.fixed() && size > kMostSizeBytes)) {
    return fail(faults::kSize, "{}: the footer's current size of {} bytes is {}", file.name(), size,
                size == 0                          ? "zero"
                : !is_multiple(size, kSectorBytes) ? "no multiple of 512"
                                                   : "past the 2040 GiB that a block table can address");
  }
  parsed.properties.geometry.virtual_size_bytes = size;
  if (parsed.fixed()) {
    if (size <= parsed.limit_bytes) return {};
    if (named_as_split_part(file.name())) return fail_split(file);
    return fail(
        faults::kFileSize,
        "{}: the disk has {} bytes, but only {} lie before the footer: the file is cut short, or the last "
        "part of a split VHD (.v01, .v02, …)",
        file.name(), size, parsed.limit_bytes);
  }
  const std::uint64_t at = footer.data_offset;
  if (at < kFooterBytes || !is_multiple(at, kSectorBytes) ||
      !fits_within(at, kHeaderBytes, parsed.limit_bytes)) {
    return fail(
        faults::kFooterCorrupt,
        "{}: the footer puts the dynamic header at {:#x}; it must be a multiple of 512, at least 512, and "
        "end by {:#x}",
        file.name(), at, parsed.limit_bytes);
  }
  return {};
}

Status read_header(File& file, Parsed& parsed) {
  const std::uint64_t at = parsed.footer->data_offset;
  DynamicHeader header;
  VDISK_TRY(read_exactly(file, FileOffset{at}, writable_bytes_of(header)));
  if (header.cookie != kHeaderCookie) {
    return fail(faults::kHeaderCorrupt,
                "{}: no dynamic disk header (cxsparse) at {:#x}, where the footer puts it", file.name(), at);
  }
  parsed.header = header;
  if (header.checksum != checksum_of(header)) {
    return fail(faults::kHeaderChecksum,
                "{}: the dynamic header at {:#x} has checksum {:#010x} where {:#010x} is right; it has no "
                "second copy",
                file.name(), at, header.checksum.get(), checksum_of(header));
  }
  if (header.header_version >> 16 != kVersion1 >> 16) {
    return fail(faults::kHeaderVersion,
                "{}: the dynamic header at {:#x} is of version {}, and only 1 is known", file.name(), at,
                version_text(header.header_version));
  }
  return {};
}

Status validate_header(const File& file, Parsed& parsed) {
  const DynamicHeader& header = *parsed.header;
  const std::uint32_t block_bytes = header.block_size;
  if (!std::has_single_bit(block_bytes) || block_bytes < kLeastBlockBytes || block_bytes > kMostBlockBytes) {
    return fail(faults::kBlockSize, "{}: the block size of {} bytes is no power of two from {} to {}",
                file.name(), block_bytes, kLeastBlockBytes, kMostBlockBytes);
  }
  parsed.properties.geometry.block_bytes = block_bytes;
  parsed.bitmap_bytes = bitmap_bytes_of(block_bytes);
  parsed.block_count = divide_up(parsed.properties.geometry.virtual_size_bytes, block_bytes);
  if (header.max_table_entries < parsed.block_count) {
    return fail(faults::kBatCount, "{}: the block allocation table has {} entries for a disk of {} blocks",
                file.name(), header.max_table_entries.get(), parsed.block_count);
  }
  const std::uint64_t at = header.table_offset;
  const std::uint64_t bytes = std::uint64_t{header.max_table_entries} * sizeof(std::uint32_t);
  const std::uint64_t header_at = parsed.footer->data_offset;
  if (!is_multiple(at, kSectorBytes) || !fits_within(at, bytes, parsed.limit_bytes) || at < kFooterBytes ||
      ranges_overlap(at, bytes, header_at, kHeaderBytes)) {
    return fail(
        faults::kBatPlace,
        "{}: the block allocation table of {} bytes at {:#x} is no multiple of 512, lies over a header, or "
        "ends past {:#x}",
        file.name(), bytes, at, parsed.limit_bytes);
  }
  parsed.reserved = {{0, kFooterBytes, "the footer copy at the front"},
                     {header_at, kHeaderBytes, "the dynamic header"},
                     {at, round_up(bytes, kSectorBytes), "the block allocation table"}};
  return {};
}

Status read_parent(File& file, Parsed& parsed) {
  const auto texts = VDISK_TRY(read_locators(file, *parsed.header, parsed.footers.file_bytes));
  for (const LocatorText& locator : texts) {
    if (!locator.problem.empty()) {
      parsed.properties.notes.push_back(
          fmt::format("parent locator {} is ignored: {}", locator.code_name, locator.problem));
    }
    if (locator.problem.empty() &&
        fits_within(locator.entry.data_offset, locator.entry.data_length, parsed.footers.file_bytes)) {
      parsed.reserved.push_back({locator.entry.data_offset, locator.entry.data_length, "a parent locator"});
    }
  }
  parsed.properties.parent = parent_locator(*parsed.header, texts);
  return {};
}

/// Xen's batmap is described and otherwise ignored (formats.md 1.17): the sector bitmaps say all that it
/// says.
Status look_for_batmap(File& file, Parsed& parsed) {
  constexpr Tag4 kXen = {'t', 'a', 'p', '\0'};
  if (parsed.footer->creator_application != kXen || parsed.footer->creator_version <= kVersion1) return {};
  const Reserved& table = parsed.reserved[2];
  BatmapHeader batmap;
  const std::size_t got =
      VDISK_TRY(read_zero_padded(file, FileOffset{table.at + table.length}, writable_bytes_of(batmap)));
  if (got < sizeof batmap || batmap.cookie != kBatmapCookie) return {};
  parsed.batmap = batmap;
  parsed.properties.details.emplace_back(
      "xen_batmap", fmt::format("version {} at {:#x}, {} sectors", version_text(batmap.batmap_version),
                                batmap.batmap_offset.get(), batmap.batmap_sectors.get()));
  return {};
}

}  // namespace

void Parsed::make_read_only(const Fault& fault, std::string reason) {
  properties.read_only = true;
  properties.notes.push_back(reason);
  if (read_only_fault != nullptr) return;
  read_only_fault = &fault;
  read_only_reason = std::move(reason);
}

Guid unique_id_to_guid(const std::array<std::uint8_t, 16>& stored) noexcept {
  return Guid::from_text_order(stored);
}
std::array<std::uint8_t, 16> guid_to_unique_id(const Guid& guid) noexcept { return guid.to_text_order(); }

Status parse(File& file, Parsed& parsed) {
  Status chosen = choose_footer(file, parsed);
  if (parsed.footer) describe_footer(parsed);
  VDISK_TRY(std::move(chosen));
  Status valid = validate_footer(file, parsed);
  note_footers(parsed);
  VDISK_TRY(std::move(valid));
  if (parsed.fixed()) return {};
  VDISK_TRY(read_header(file, parsed));
  Status usable = validate_header(file, parsed);
  if (parsed.properties.type == DiskType::kDifferencing) VDISK_TRY(read_parent(file, parsed));
  VDISK_TRY(std::move(usable));
  return look_for_batmap(file, parsed);
}

std::vector<Reserved> all_reserved(const Parsed& parsed) {
  std::vector<Reserved> all = parsed.reserved;
  const auto add = [&](std::uint64_t at, std::uint64_t length, std::string_view what) {
    if (at >= parsed.limit_bytes) return;
    all.push_back({at, std::min(length, parsed.limit_bytes - at), what});
  };
  if (parsed.properties.parent) {
    for (const LocatorEntry& entry : parsed.header->parent_locators) {
      if (entry.platform_code == 0) continue;
      // Bytes as Windows writes them, sectors as the spec says: small numbers are sectors (formats.md 1.4).
      const std::uint64_t space = entry.data_space;
      add(entry.data_offset, space < kSectorBytes ? space * kSectorBytes : space, "a parent locator");
    }
  }
  if (parsed.batmap) {
    add(parsed.reserved[2].at + parsed.reserved[2].length, kSectorBytes, "the batmap header");
    add(parsed.batmap->batmap_offset, std::uint64_t{parsed.batmap->batmap_sectors} * kSectorBytes,
        "the batmap");
  }
  std::ranges::sort(all, {}, &Reserved::at);
  return all;
}

}  // namespace vdisk::vhd
