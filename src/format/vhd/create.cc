// SPDX-License-Identifier: Apache-2.0
//
// A new VHD as Windows lays it out (formats.md 1.1, 1.3 and 1.15): the table of a dynamic disk at 0x600, of a
// differencing one at a multiple of 4 KiB between its locators; where the footer ends up, the first block's
// bitmap will lie, so that its data begin at a multiple of 4 KiB. The size is exact, never rounded to what
// CHS addresses.
//
// VHD has no log and no marker of an unfinished file. The footer is that marker: everything else is flushed
// before either copy of it is written, so that a power cut leaves a file without a footer, or the whole
// image.
#include "format/vhd/create.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/utf16.h"
#include "format/create_spec.h"
#include "format/preallocate.h"
#include "format/vhd/geometry.h"
#include "format/vhd/layout.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kHeaderAt = 512;
constexpr std::uint64_t kDynamicTableAt = 0x600;
constexpr std::uint64_t kFirstTextAt = kPageBytes;
/// What Windows 10 reserves for the relative path, in bytes, whatever the VHD spec says of sectors
/// (formats.md 1.4).
constexpr std::uint32_t kRelativeSpaceBytes = 64 * 1024;
constexpr std::uint32_t kReservedFeature = 2;  // bit 1 is always 1 (VHD spec, "Features")
/// Windows 10's own creator fields: what readers trust most (formats.md 1.9 and 1.10).
constexpr Tag4 kCreatorApplication = {'w', 'i', 'n', ' '};
constexpr std::uint32_t kCreatorVersion = 0x000A'0000;
constexpr Tag4 kCreatorHostOs = {'W', 'i', '2', 'k'};
constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();

std::uint32_t timestamp_of(std::int64_t unix_seconds) noexcept {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(unix_seconds - kEpochUnixSeconds, 0,
                                                             std::numeric_limits<std::uint32_t>::max()));
}

Footer footer_of(const CreateSpec& spec) {
  const Geometry geometry = geometry_of(spec.virtual_size_bytes);
  Footer footer{};
  footer.cookie = kFooterCookie;
  footer.features = kReservedFeature;
  footer.format_version = kVersion1;
  footer.data_offset = spec.type == DiskType::kFixed ? kNowhere : kHeaderAt;
  footer.timestamp = timestamp_of(spec.creation_unix_seconds);
  set_creator(footer);
  footer.original_size = spec.virtual_size_bytes;
  footer.current_size = spec.virtual_size_bytes;
  footer.cylinders = geometry.cylinders;
  footer.heads = geometry.heads;
  footer.sectors_per_track = geometry.sectors_per_track;
  footer.disk_type = std::to_underlying(spec.type);
  footer.unique_id = guid_to_unique_id(spec.identifier);
  footer.checksum = checksum_of(footer);
  return footer;
}

/// One locator's text and where it goes.
struct Text {
  Platform platform;
  std::uint64_t at = 0;
  std::uint32_t space_bytes = 0;
  std::vector<std::byte> bytes;
};

/// Where everything of a dynamic or differencing image lies.
struct Plan {
  std::uint64_t table_at = kDynamicTableAt;
  std::uint64_t block_count = 0;
  std::uint64_t table_end = 0;  ///< With the padding up to the page's end.
  std::vector<Text> texts;
  std::uint64_t footer_at = 0;
};

template <class Stored>
std::vector<std::byte> utf16_bytes(std::string_view utf8) {
  const auto text = utf8_to_utf16(utf8);
  VDISK_ASSERT(text.has_value());  // paths were judged where the link was made
  std::vector<std::byte> bytes;
  for (const char16_t unit : *text) {
    const Stored stored(static_cast<std::uint16_t>(unit));
    const auto raw = bytes_of(stored);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

/// "file://" and the path with everything but unreserved characters and slashes in per cent form (RFC
/// 3986 2.3).
std::vector<std::byte> url_bytes(std::string_view path) {
  constexpr std::string_view kPlain = "-._~/";
  std::string url = "file://";
  for (const char c : path) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || kPlain.find(c) != std::string_view::npos) {
      url += c;
    } else {
      url += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  const auto raw = std::as_bytes(std::span(url));
  return {raw.begin(), raw.end()};
}

std::uint64_t place(Plan& plan, std::uint64_t at, Platform platform, std::vector<std::byte> bytes,
                    std::uint32_t least_space_bytes) {
  VDISK_ASSERT(bytes.size() <= kMostLocatorBytes);
  const auto space = static_cast<std::uint32_t>(
      std::max<std::uint64_t>(least_space_bytes, round_up(bytes.size(), kPageBytes)));
  plan.texts.push_back({platform, at, space, std::move(bytes)});
  return at + space;
}

/// The order of Windows 10: absolute path, table, relative path (formats.md 1.1). Behind them, for readers
/// here, the same two as Xen's tools write them.
Plan plan_of(const CreateSpec& spec) {
  Plan plan;
  plan.block_count = divide_up(spec.virtual_size_bytes, spec.block_bytes);
  if (spec.parent) {
    plan.table_at = place(plan, kFirstTextAt, Platform::kW2ku,
                          utf16_bytes<Le<std::uint16_t>>(spec.parent->absolute()), kPageBytes);
  }
  plan.table_end = round_up(plan.table_at + plan.block_count * sizeof(std::uint32_t), kPageBytes);
  std::uint64_t end = plan.table_end;
  if (spec.parent) {
    // Xen's blktap takes a relative path only if it begins so (formats.md 1.4).
    std::string relative = spec.parent->windows_relative;
    if (!relative.starts_with(".\\")) relative.insert(0, ".\\");
    end = place(plan, end, Platform::kW2ru, utf16_bytes<Le<std::uint16_t>>(relative), kRelativeSpaceBytes);
    end = place(plan, end, Platform::kMacX, url_bytes(spec.parent->linux_relative), kPageBytes);
    end = place(plan, end, Platform::kMacX, url_bytes(spec.parent->linux_absolute), kPageBytes);
  }
  plan.footer_at = end + kBeforePageEnd;
  return plan;
}

DynamicHeader header_of(const CreateSpec& spec, const Plan& plan) {
  DynamicHeader header{};
  header.cookie = kHeaderCookie;
  header.data_offset = kNowhere;
  header.table_offset = plan.table_at;
  header.header_version = kVersion1;
  header.max_table_entries = static_cast<std::uint32_t>(plan.block_count);
  header.block_size = spec.block_bytes;
  if (spec.parent) {
    header.parent_unique_id = guid_to_unique_id(spec.parent->identifier);
    header.parent_timestamp = spec.parent->timestamp;
    // Windows stores the full path; where none is known or it is too long, the name alone as other writers
    // do. The field's last unit stays zero.
    std::vector<std::byte> name = utf16_bytes<Be<std::uint16_t>>(spec.parent->windows_absolute);
    const std::size_t most = header.parent_unicode_name.size() - 2;
    if (name.empty() || name.size() > most) name = utf16_bytes<Be<std::uint16_t>>(spec.parent->name);
    VDISK_ASSERT(name.size() <= most);
    std::ranges::copy(name, header.parent_unicode_name.begin());
  }
  for (std::size_t i = 0; i < plan.texts.size(); ++i) {
    const Text& text = plan.texts[i];
    header.parent_locators[i] = {.platform_code = std::to_underlying(text.platform),
                                 .data_space = text.space_bytes,
                                 .data_length = static_cast<std::uint32_t>(text.bytes.size()),
                                 .reserved = 0U,
                                 .data_offset = text.at};
  }
  header.checksum = checksum_of(header);
  return header;
}

Status write_table(File& file, const Plan& plan, const OperationControl& control) {
  // All ones: no block is there. Windows pads the page with ones, too (formats.md 1.5).
  const std::uint64_t length = plan.table_end - plan.table_at;
  const std::vector<std::byte> ones(std::min(length, kMiB), std::byte{0xFF});
  for (std::uint64_t done = 0; done < length;) {
    VDISK_TRY(stop_if_cancelled(file, control));
    const auto piece = std::span(ones).first(std::min<std::uint64_t>(ones.size(), length - done));
    VDISK_TRY(file.write(FileOffset{plan.table_at + done}, piece));
    done += piece.size();
  }
  return {};
}

}  // namespace

Footer new_footer(const CreateSpec& spec) { return footer_of(spec); }

Result<Layout> write_structures(File& file, const CreateSpec& spec, const OperationControl& control) {
  const Plan plan = plan_of(spec);
  VDISK_TRY(file.resize(plan.footer_at + kFooterBytes));
  VDISK_TRY(file.write(FileOffset{kHeaderAt}, bytes_of(header_of(spec, plan))));
  VDISK_TRY(write_table(file, plan, control));
  for (const Text& text : plan.texts) VDISK_TRY(file.write(FileOffset{text.at}, text.bytes));
  return Layout{.table_at = plan.table_at, .block_count = plan.block_count, .footer_at = plan.footer_at};
}

namespace {

Status create_fixed(File& file, const CreateSpec& spec, const OperationControl& control) {
  VDISK_TRY(file.resize(spec.virtual_size_bytes + kFooterBytes));
  VDISK_TRY(preallocate(file, FileOffset{0}, spec.virtual_size_bytes, spec.preallocation, control));
  VDISK_TRY(file.flush());
  VDISK_TRY(stop_if_cancelled(file, control));
  return file.write(FileOffset{spec.virtual_size_bytes}, bytes_of(footer_of(spec)));
}

Status create_blocks(File& file, const CreateSpec& spec, const OperationControl& control) {
  const Layout layout = VDISK_TRY(write_structures(file, spec, control));
  VDISK_TRY(file.flush());
  VDISK_TRY(stop_if_cancelled(file, control));
  const Footer footer = footer_of(spec);
  VDISK_TRY(file.write(FileOffset{0}, bytes_of(footer)));
  return file.write(FileOffset{layout.footer_at}, bytes_of(footer));
}

// virtdisk-api.md 3.2, "Per-format values", and 5, "Limits".
constexpr std::uint32_t kBlockSizes[] = {512 * kKiB, 2 * kMiB};
constexpr std::uint32_t kSectorSizes[] = {kSectorBytes};

}  // namespace

void set_creator(Footer& footer) noexcept {
  footer.creator_application = kCreatorApplication;
  footer.creator_version = kCreatorVersion;
  footer.creator_host_os = kCreatorHostOs;
}

const CreateLimits kCreateLimits = {
    .least_bytes = 3 * kMiB,
    .most_bytes = kMostSizeBytes,
    .fixed_only = false,
    .block_sizes = kBlockSizes,
    .sector_sizes = kSectorSizes,
    .physical_sector_bytes = kSectorBytes,
    .dynamic_block_bytes = 2 * kMiB,
};

Status create_image(File& file, const CreateSpec& spec, const OperationControl& control) {
  VDISK_TRY(stop_if_cancelled(file, control));
  return spec.type == DiskType::kFixed ? create_fixed(file, spec, control)
                                       : create_blocks(file, spec, control);
}

}  // namespace vdisk::vhd
