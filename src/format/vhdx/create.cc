// SPDX-License-Identifier: Apache-2.0
//
// A new VHDX: headers, log at 1 MiB, metadata at 2 MiB, BAT at 3 MiB, blocks behind it (formats.md 2.13).
//
// Until the last write the metadata carry Windows' marker of an incomplete file, which every reader must
// refuse (formats.md 2.10). Everything else is flushed before that write takes the marker away, and it
// changes one sector alone, so that no power cut leaves a file that opens and is not whole. Windows removes
// the marker through the log; one sector needs none.
#include "format/vhdx/create.h"

#include <vdisk/version.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/utf16.h"
#include "format/create_spec.h"
#include "format/preallocate.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/header.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

namespace {

constexpr std::uint64_t kLogAt = kMiB;
constexpr std::uint32_t kLogBytes = kMiB;
constexpr std::uint64_t kMetadataAt = 2 * kMiB;
constexpr std::uint32_t kMetadataBytes = kMiB;
constexpr std::uint64_t kBatAt = 3 * kMiB;
/// What of the 64 KiB structures is written; the rest is a hole and reads as the zeros that it must hold.
constexpr std::size_t kPageBytes = 4096;

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = bytes_of(value);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

std::vector<std::byte> utf16_bytes(std::string_view utf8) {
  const auto text = utf8_to_utf16(utf8);
  VDISK_ASSERT(text.has_value());  // paths were judged where the link was made
  std::vector<std::byte> bytes;
  for (const char16_t unit : *text) append(bytes, Le<std::uint16_t>(unit));
  return bytes;
}

/// The parent locator with Windows' five keys in Windows' order, each key followed by its value
/// (formats.md 2.10). No volume has a GUID here, so volume_path names one that exists nowhere;
/// parent_linkage2 is zero as Windows writes it.
std::vector<std::byte> encode_locator(const ParentLink& parent) {
  const std::string& absolute = parent.absolute();
  const bool drive = absolute.size() > 2 && absolute[1] == ':';
  std::string rest = drive ? absolute.substr(2) : absolute;
  std::ranges::replace(rest, '/', '\\');
  const std::array<std::pair<std::string_view, std::string>, 5> pairs = {{
      {"parent_linkage", "{" + parent.identifier.to_string() + "}"},
      {"absolute_win32_path", absolute},
      {"relative_path", parent.windows_relative},
      {"volume_path", R"(\\?\Volume{)" + Guid{}.to_string() + "}" + rest},
      {"parent_linkage2", "{" + Guid{}.to_string() + "}"},
  }};
  std::vector<std::byte> entries;
  std::vector<std::byte> texts;
  const std::size_t texts_at =
      sizeof(ParentLocatorHeaderLayout) + pairs.size() * sizeof(ParentLocatorEntryLayout);
  for (const auto& [key, value] : pairs) {
    const auto key_text = utf16_bytes(key);
    const auto value_text = utf16_bytes(value);
    const auto key_at = static_cast<std::uint32_t>(texts_at + texts.size());
    append(entries,
           ParentLocatorEntryLayout{.key_offset = key_at,
                                    .value_offset = static_cast<std::uint32_t>(key_at + key_text.size()),
                                    .key_length = static_cast<std::uint16_t>(key_text.size()),
                                    .value_length = static_cast<std::uint16_t>(value_text.size())});
    texts.insert(texts.end(), key_text.begin(), key_text.end());
    texts.insert(texts.end(), value_text.begin(), value_text.end());
  }
  std::vector<std::byte> item;
  append(item, ParentLocatorHeaderLayout{.locator_type = kVhdxLocatorType,
                                         .reserved = std::uint16_t{0},
                                         .key_value_count = static_cast<std::uint16_t>(pairs.size())});
  item.insert(item.end(), entries.begin(), entries.end());
  item.insert(item.end(), texts.begin(), texts.end());
  VDISK_ASSERT(item.size() <= kMostLocatorBytes);
  return item;
}

/// The metadata items in Windows' order and packing (formats.md 2.10, "Items").
class MetadataWriter {
 public:
  explicit MetadataWriter(const CreateSpec& spec) {
    const bool fixed = spec.type == DiskType::kFixed;
    const std::uint32_t flags = (fixed ? kLeaveBlockAllocated : 0) | (spec.parent ? kHasParent : 0);
    constexpr std::uint32_t kOfDisk = kItemIsVirtualDisk | kItemIsRequired;
    add(kFileParametersItem, kItemIsRequired,
        bytes_of(FileParametersLayout{.block_size = spec.block_bytes, .flags = flags}));
    add(kVirtualDiskSizeItem, kOfDisk, bytes_of(Le<std::uint64_t>(spec.virtual_size_bytes)));
    add(kLogicalSectorSizeItem, kOfDisk, bytes_of(Le<std::uint32_t>(spec.logical_sector_bytes)));
    add(kPhysicalSectorSizeItem, kOfDisk, bytes_of(Le<std::uint32_t>(spec.physical_sector_bytes)));
    add(kVirtualDiskIdItem, kOfDisk, bytes_of(spec.virtual_disk_id));
    if (spec.parent) add(kParentLocatorItem, kItemIsRequired, encode_locator(*spec.parent));
  }

  const std::vector<std::byte>& items() const noexcept { return items_; }

  /// The table's first page; all entries lie in its first sector.
  std::array<std::byte, kPageBytes> table(bool incomplete) const {
    std::vector<MetadataEntryLayout> entries = entries_;
    if (incomplete) {
      entries.push_back({.item_id = kIncompleteFileItem,
                         .offset = 0U,
                         .length = 0U,
                         .flags = kItemIsRequired,
                         .reserved = 0U});
    }
    std::array<std::byte, kPageBytes> page{};
    store(std::span<std::byte>(page),
          MetadataTableHeaderLayout{.signature = kMetadataSignature,
                                    .reserved = std::uint16_t{0},
                                    .entry_count = static_cast<std::uint16_t>(entries.size()),
                                    .reserved2 = {}});
    std::size_t at = sizeof(MetadataTableHeaderLayout);
    for (const MetadataEntryLayout& entry : entries) {
      store(std::span(page).subspan(at), entry);
      at += sizeof entry;
    }
    VDISK_ASSERT(at <= 512);
    return page;
  }

 private:
  void add(const Guid& id, std::uint32_t flags, std::span<const std::byte> value) {
    entries_.push_back({.item_id = id,
                        .offset = static_cast<std::uint32_t>(kMetadataTableBytes + items_.size()),
                        .length = static_cast<std::uint32_t>(value.size()),
                        .flags = flags,
                        .reserved = 0U});
    items_.insert(items_.end(), value.begin(), value.end());
  }

  std::vector<MetadataEntryLayout> entries_;
  std::vector<std::byte> items_;
};

BatGeometry geometry_of(const CreateSpec& spec) {
  return BatGeometry::of(spec.virtual_size_bytes, spec.block_bytes, spec.logical_sector_bytes,
                         spec.type == DiskType::kDifferencing);
}

std::uint32_t bat_region_bytes(const CreateSpec& spec) {
  return static_cast<std::uint32_t>(round_up(geometry_of(spec).entry_count * kBatEntryBytes, kAlignment));
}

Status write_identifier(File& file) {
  std::array<std::byte, kPageBytes> page{};
  IdentifierLayout identifier{.signature = kIdentifierSignature, .creator = {}};
  const auto creator = utf16_bytes("vdisk " VDISK_VERSION_STRING);
  static_assert(sizeof "vdisk " VDISK_VERSION_STRING * 2 <= sizeof identifier.creator);
  std::ranges::copy(creator, identifier.creator.begin());
  store(std::span<std::byte>(page), identifier);
  return file.write(FileOffset{kIdentifierAt}, page);
}

Status write_region_tables(File& file, std::uint32_t bat_bytes) {
  // The checksum covers all 64 KiB, of which only the first page is more than zeros.
  std::vector<std::byte> table(kRegionTableBytes);
  store(std::span(table),
        RegionTableHeaderLayout{
            .signature = kRegionTableSignature, .checksum = 0U, .entry_count = 2U, .reserved = 0U});
  const auto entries = std::span(table).subspan(sizeof(RegionTableHeaderLayout));
  store(entries,
        RegionEntryLayout{
            .guid = kBatRegion, .file_offset = kBatAt, .length = bat_bytes, .flags = kRegionRequired});
  store(entries.subspan(sizeof(RegionEntryLayout)), RegionEntryLayout{.guid = kMetadataRegion,
                                                                      .file_offset = kMetadataAt,
                                                                      .length = kMetadataBytes,
                                                                      .flags = kRegionRequired});
  store(std::span(table).subspan(kRegionTableChecksumAt), Le<std::uint32_t>(crc32c(table)));
  for (const std::uint64_t at : kRegionTableAt) {
    VDISK_TRY(file.write(FileOffset{at}, std::span(table).first(kPageBytes)));
  }
  return {};
}

/// A fixed disk's BAT: every block fully present, one behind the other; the bitmap entries between stay zero.
Status write_fixed_bat(File& file, const CreateSpec& spec, std::uint64_t blocks_at,
                       const OperationControl& control) {
  const BatGeometry geometry = geometry_of(spec);
  constexpr std::size_t kEntriesInPiece = kMiB / kBatEntryBytes;
  std::vector<Le<std::uint64_t>> piece;
  for (std::uint64_t first = 0; first < geometry.entry_count; first += piece.size()) {
    VDISK_TRY(stop_if_cancelled(file, control));
    piece.assign(std::min<std::uint64_t>(kEntriesInPiece, geometry.entry_count - first), std::uint64_t{0});
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (geometry.is_bitmap_index(first + i)) continue;
      const std::uint64_t at = blocks_at + geometry.block_from_index(first + i) * spec.block_bytes;
      piece[i] = at | std::uint64_t{std::to_underlying(PayloadState::kFullyPresent)};
    }
    VDISK_TRY(file.write(FileOffset{kBatAt + first * kBatEntryBytes}, std::as_bytes(std::span(piece))));
  }
  return {};
}

// virtdisk-api.md 3.2, "Per-format values", and 5, "Limits". The reference page's "any multiple of 1 MB" is
// no block size that the format has: MS-VHDX 2.6.2.1 wants a power of two.
constexpr std::uint32_t kMb = kMiB;
constexpr std::uint32_t kBlockSizes[] = {kMb,      2 * kMb,  4 * kMb,   8 * kMb,  16 * kMb,
                                         32 * kMb, 64 * kMb, 128 * kMb, 256 * kMb};
constexpr std::uint32_t kSectorSizes[] = {512, 4096};

}  // namespace

const CreateLimits kCreateLimits = {
    .least_bytes = 3 * kMiB,
    .most_bytes = kMostDiskBytes,
    .fixed_only = false,
    .block_sizes = kBlockSizes,
    .sector_sizes = kSectorSizes,
    .physical_sector_bytes = 4096,
    .fixed_block_bytes = 2 * kMb,
    .dynamic_block_bytes = 32 * kMb,
    .differencing_block_bytes = 2 * kMb,
    .child_may_be_larger = true,
};

std::uint64_t bat_begins_at() noexcept { return kBatAt; }
std::uint64_t blocks_begin_at(const CreateSpec& spec) noexcept { return kBatAt + bat_region_bytes(spec); }

Status write_structures(File& file, const CreateSpec& spec, bool incomplete,
                        const OperationControl& control) {
  const std::uint64_t blocks_at = blocks_begin_at(spec);
  const bool fixed = spec.type == DiskType::kFixed;
  const std::uint64_t payload_bytes = fixed ? round_up(spec.virtual_size_bytes, spec.block_bytes) : 0;
  const MetadataWriter metadata(spec);

  VDISK_TRY(stop_if_cancelled(file, control));
  VDISK_TRY(file.resize(blocks_at + payload_bytes));
  // The space first: a host that is too full says so before anything is written.
  VDISK_TRY(preallocate(file, FileOffset{blocks_at}, payload_bytes, spec.preallocation, control));
  if (fixed) VDISK_TRY(write_fixed_bat(file, spec, blocks_at, control));
  VDISK_TRY(write_identifier(file));
  VDISK_TRY(write_region_tables(file, bat_region_bytes(spec)));
  VDISK_TRY(file.write(FileOffset{kMetadataAt + kMetadataTableBytes}, metadata.items()));
  VDISK_TRY(file.write(FileOffset{kMetadataAt}, metadata.table(incomplete)));
  const Header header{.sequence_number = 1,
                      .file_write_guid = spec.file_write_guid,
                      .data_write_guid = spec.identifier,
                      .log_guid = {},
                      .log_version = kLogVersion,
                      .version = kVersion,
                      .log_length = kLogBytes,
                      .log_offset = kLogAt};
  return write_new_headers(file, header);
}

Status create_image(File& file, const CreateSpec& spec, const OperationControl& control) {
  VDISK_TRY(write_structures(file, spec, true, control));
  VDISK_TRY(file.flush());
  VDISK_TRY(stop_if_cancelled(file, control));
  return file.write(FileOffset{kMetadataAt}, MetadataWriter(spec).table(false));
}

}  // namespace vdisk::vhdx
