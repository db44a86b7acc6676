// SPDX-License-Identifier: Apache-2.0
#include "testing/vhdx_builder.h"

#include <algorithm>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/fault.h"

namespace vdisk::testing {

using namespace vhdx;  // NOLINT: this file writes that format and nothing else

namespace {

template <class T>
std::vector<std::byte> stored(const T& value) {
  const auto bytes = bytes_of(value);
  return {bytes.begin(), bytes.end()};
}

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> utf16le(std::u16string_view text) {
  std::vector<std::byte> bytes;
  for (const char16_t unit : text) append(bytes, stored(Le<std::uint16_t>(static_cast<std::uint16_t>(unit))));
  return bytes;
}

}  // namespace

VhdxBuilder::VhdxBuilder(std::uint64_t disk_bytes, std::uint32_t block_bytes)
    : disk_bytes_(disk_bytes), block_bytes_(block_bytes) {
  item(kFileParametersItem, kItemIsRequired, file_parameters());
  item(kVirtualDiskSizeItem, kItemIsRequired | kItemIsVirtualDisk, stored(Le<std::uint64_t>(disk_bytes)));
  item(kLogicalSectorSizeItem, kItemIsRequired | kItemIsVirtualDisk, stored(Le<std::uint32_t>(512u)));
  item(kPhysicalSectorSizeItem, kItemIsRequired | kItemIsVirtualDisk, stored(Le<std::uint32_t>(4096u)));
  item(kVirtualDiskIdItem, kItemIsRequired | kItemIsVirtualDisk, stored(kDiskId));
}

std::vector<std::byte> VhdxBuilder::file_parameters() const {
  return stored(FileParametersLayout{.block_size = block_bytes_, .flags = file_flags_});
}

VhdxBuilder& VhdxBuilder::fixed() {
  file_flags_ |= kLeaveBlockAllocated;
  return edit_item(kFileParametersItem, [&](Item& i) { i.content = file_parameters(); });
}

VhdxBuilder& VhdxBuilder::differencing() {
  return differencing(
      {{u"parent_linkage", u"{040302a1-0605-0807-090a-0b0c0d0e0f10}"},
       {u"parent_linkage2", u"{00000000-0000-0000-0000-000000000000}"},
       {u"relative_path", u".\\base.vhdx"},
       {u"absolute_win32_path", u"C:\\disks\\base.vhdx"},
       {u"volume_path", u"\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\disks\\base.vhdx"}});
}

VhdxBuilder& VhdxBuilder::differencing(const LocatorPairs& pairs) {
  file_flags_ |= kHasParent;
  edit_item(kFileParametersItem, [&](Item& i) { i.content = file_parameters(); });
  return item(kParentLocatorItem, kItemIsRequired, locator_item(pairs));
}

VhdxBuilder& VhdxBuilder::sectors(std::uint32_t logical, std::uint32_t physical) {
  logical_sector_bytes_ = logical;
  edit_item(kLogicalSectorSizeItem, [&](Item& i) { i.content = stored(Le<std::uint32_t>(logical)); });
  return edit_item(kPhysicalSectorSizeItem,
                   [&](Item& i) { i.content = stored(Le<std::uint32_t>(physical)); });
}

VhdxBuilder& VhdxBuilder::creator(std::u16string text) {
  creator_ = std::move(text);
  return *this;
}

VhdxBuilder& VhdxBuilder::order(std::string letters) {
  order_ = std::move(letters);
  return *this;
}

VhdxBuilder& VhdxBuilder::log_length(std::uint32_t bytes) {
  log_length_ = bytes;
  return *this;
}

VhdxBuilder& VhdxBuilder::log_guid(const Guid& guid) {
  log_guid_ = guid;
  return *this;
}

VhdxBuilder& VhdxBuilder::unknown_region(const Guid& guid, std::uint32_t length, bool required) {
  unknown_regions_.push_back({guid, required ? kRegionRequired : 0, length, {}});
  return *this;
}

VhdxBuilder& VhdxBuilder::edit_regions(std::function<void(std::vector<Region>&)> edit) {
  edit_regions_ = std::move(edit);
  return *this;
}

VhdxBuilder& VhdxBuilder::item(const Guid& id, std::uint32_t flags, std::vector<std::byte> content) {
  items_.push_back({id, flags, std::move(content), {}, {}});
  return *this;
}

VhdxBuilder& VhdxBuilder::edit_item(const Guid& id, const std::function<void(Item&)>& edit) {
  const auto found = std::ranges::find(items_, id, &Item::id);
  VDISK_ASSERT(found != items_.end());
  edit(*found);
  return *this;
}

VhdxBuilder& VhdxBuilder::remove_item(const Guid& id) {
  std::erase_if(items_, [&](const Item& i) { return i.id == id; });
  return *this;
}

VhdxBuilder& VhdxBuilder::stale_entry(const Guid& id, std::uint32_t flags) {
  stale_.push_back({id, flags, {}, {}, {}});
  return *this;
}

VhdxBuilder& VhdxBuilder::metadata_count(std::uint16_t count) {
  metadata_count_ = count;
  return *this;
}

std::vector<std::byte> VhdxBuilder::locator_item(const LocatorPairs& pairs, const Guid& type) {
  std::vector<std::byte> item =
      stored(ParentLocatorHeaderLayout{.locator_type = type,
                                       .reserved = std::uint16_t{0},
                                       .key_value_count = static_cast<std::uint16_t>(pairs.size())});
  std::vector<std::byte> texts;
  const std::size_t texts_at = item.size() + pairs.size() * sizeof(ParentLocatorEntryLayout);
  for (const auto& [key, value] : pairs) {
    const auto key_bytes = utf16le(key);
    const auto value_bytes = utf16le(value);
    const auto key_at = static_cast<std::uint32_t>(texts_at + texts.size());
    append(item, stored(ParentLocatorEntryLayout{
                     .key_offset = key_at,
                     .value_offset = static_cast<std::uint32_t>(key_at + key_bytes.size()),
                     .key_length = static_cast<std::uint16_t>(key_bytes.size()),
                     .value_length = static_cast<std::uint16_t>(value_bytes.size())}));
    append(texts, key_bytes);
    append(texts, value_bytes);
  }
  append(item, texts);
  return item;
}

VhdxBuilder& VhdxBuilder::edit_header(int slot, std::function<void(HeaderLayout&)> edit) {
  headers_[static_cast<std::size_t>(slot)].edit = std::move(edit);
  return *this;
}

VhdxBuilder& VhdxBuilder::bad_header(int slot) {
  headers_[static_cast<std::size_t>(slot)].bad = true;
  return *this;
}

VhdxBuilder& VhdxBuilder::bad_region_table(int copy) {
  tables_[static_cast<std::size_t>(copy)].bad = true;
  return *this;
}

VhdxBuilder& VhdxBuilder::edit_region_copy(int copy,
                                           std::function<void(std::vector<RegionEntryLayout>&)> edit) {
  tables_[static_cast<std::size_t>(copy)].edit = std::move(edit);
  return *this;
}

VhdxBuilder& VhdxBuilder::region_count(std::uint32_t count) {
  region_count_ = count;
  return *this;
}

std::uint64_t VhdxBuilder::bat_bytes() const {
  const std::uint64_t blocks = divide_up(disk_bytes_, block_bytes_);
  const std::uint64_t chunks = divide_up(blocks, chunk_ratio());
  const std::uint64_t entries =
      (file_flags_ & kHasParent) != 0 ? chunks * (chunk_ratio() + 1) : blocks + (blocks - 1) / chunk_ratio();
  return round_up(entries * kBatEntryBytes, kMiB);
}

void VhdxBuilder::lay_out() {
  if (laid_out_) return;
  laid_out_ = true;
  file_ = std::make_shared<MemoryFile>("test.vhdx");
  if (order_.find('U') == std::string::npos) order_ += 'U';
  for (const char letter : order_) {
    if (letter == 'L') {
      log_offset_ = take(log_length_ / kMiB);
    } else if (letter == 'M') {
      metadata_offset_ = take(1);
    } else if (letter == 'B') {
      bat_offset_ = take(bat_bytes() / kMiB);
    } else {
      for (Region& region : unknown_regions_) region.offset = take(divide_up(region.length, kMiB));
    }
  }
}

std::uint64_t VhdxBuilder::log_offset() {
  lay_out();
  return log_offset_;
}
std::uint64_t VhdxBuilder::metadata_offset() {
  lay_out();
  return metadata_offset_;
}
std::uint64_t VhdxBuilder::bat_offset() {
  lay_out();
  return bat_offset_;
}
std::uint64_t VhdxBuilder::end_offset() {
  lay_out();
  return next_;
}

std::uint64_t VhdxBuilder::take(std::uint64_t mib) {
  lay_out();
  return std::exchange(next_, next_ + mib * kMiB);
}

std::uint64_t VhdxBuilder::present(std::uint64_t block, PayloadState state) {
  const std::uint64_t at = take(block_bytes_ / kMiB);
  raw_entry(payload_index(block), at | static_cast<std::uint64_t>(state));
  return at;
}

std::uint64_t VhdxBuilder::partial(std::uint64_t block) {
  if (!bat_.contains(bitmap_index(block / chunk_ratio()))) bitmap(block / chunk_ratio());
  return present(block, PayloadState::kPartiallyPresent);
}

std::uint64_t VhdxBuilder::bitmap(std::uint64_t chunk) {
  const std::uint64_t at = take(1);
  raw_entry(bitmap_index(chunk), at | static_cast<std::uint64_t>(BitmapState::kPresent));
  return at;
}

VhdxBuilder& VhdxBuilder::set_bits(std::uint64_t first_sector, std::uint64_t count) {
  for (std::uint64_t sector = first_sector; sector < first_sector + count; ++sector) {
    const std::uint64_t bitmap_at = bat_.at(bitmap_index(sector / kSectorsPerChunk)) & kBatOffsetMask;
    const FileOffset at{bitmap_at + sector % kSectorsPerChunk / 8};
    std::byte bits{};
    VDISK_ASSERT(read_zero_padded(*file_, at, std::span(&bits, 1)).has_value());
    bits |= std::byte{1} << (sector % 8);
    put(at.bytes, std::span(&bits, 1));
  }
  return *this;
}

VhdxBuilder& VhdxBuilder::state(std::uint64_t block, PayloadState state) {
  return raw_entry(payload_index(block), static_cast<std::uint64_t>(state));
}

VhdxBuilder& VhdxBuilder::raw_entry(std::uint64_t index, std::uint64_t value) {
  lay_out();
  bat_[index] = value;
  return *this;
}

VhdxBuilder& VhdxBuilder::write(std::uint64_t disk_offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t in_block = disk_offset % block_bytes_;
    const std::size_t piece = std::min<std::uint64_t>(bytes.size(), block_bytes_ - in_block);
    put((bat_.at(payload_index(disk_offset / block_bytes_)) & kBatOffsetMask) + in_block, bytes.first(piece));
    bytes = bytes.subspan(piece);
    disk_offset += piece;
  }
  return *this;
}

VhdxBuilder& VhdxBuilder::write(std::uint64_t disk_offset, std::uint64_t length, std::uint8_t value) {
  return write(disk_offset, std::vector<std::byte>(length, std::byte{value}));
}

void VhdxBuilder::put(std::uint64_t at, std::span<const std::byte> bytes) {
  VDISK_ASSERT(file_->write(FileOffset{at}, bytes).has_value());
}

void VhdxBuilder::write_headers() {
  IdentifierLayout identifier{.signature = kIdentifierSignature, .creator = {}};
  const auto text = utf16le(creator_);
  std::copy_n(text.begin(), std::min(text.size(), identifier.creator.size()), identifier.creator.begin());
  put(kIdentifierAt, bytes_of(identifier));
  for (std::size_t slot = 0; slot < 2; ++slot) {
    HeaderLayout header{
        .signature = kHeaderSignature,
        .checksum = 0u,
        .sequence_number = std::uint64_t{7} + slot,
        .file_write_guid = kFileWriteGuid,
        .data_write_guid = kDataWriteGuid,
        .log_guid = log_guid_,
        .log_version = std::uint16_t{0},
        .version = std::uint16_t{1},
        .log_length = log_length_,
        .log_offset = log_offset_,
        .reserved = {},
    };
    if (headers_[slot].edit) headers_[slot].edit(header);
    header.checksum =
        crc32c_with_zero_field(bytes_of(header), kHeaderChecksumAt) ^ (headers_[slot].bad ? 1u : 0u);
    put(kHeaderAt[slot], bytes_of(header));
  }
}

void VhdxBuilder::write_region_tables() {
  std::vector<Region> regions = {
      {kBatRegion, kRegionRequired, static_cast<std::uint32_t>(bat_bytes()), bat_offset_},
      {kMetadataRegion, kRegionRequired, kMiB, metadata_offset_}};
  regions.insert(regions.end(), unknown_regions_.begin(), unknown_regions_.end());
  if (edit_regions_) edit_regions_(regions);
  for (std::size_t copy = 0; copy < 2; ++copy) {
    std::vector<RegionEntryLayout> entries;
    for (const Region& region : regions) {
      entries.push_back({.guid = region.guid,
                         .file_offset = region.offset.value_or(0),
                         .length = region.length,
                         .flags = region.flags});
    }
    if (tables_[copy].edit) tables_[copy].edit(entries);
    std::vector<std::byte> bytes = stored(RegionTableHeaderLayout{
        .signature = kRegionTableSignature,
        .checksum = 0u,
        .entry_count = region_count_.value_or(static_cast<std::uint32_t>(entries.size())),
        .reserved = 0u});
    for (const RegionEntryLayout& entry : entries) append(bytes, bytes_of(entry));
    bytes.resize(kRegionTableBytes);
    const Le<std::uint32_t> checksum = crc32c(bytes) ^ (tables_[copy].bad ? 1u : 0u);
    store(std::span(bytes).subspan(kRegionTableChecksumAt), checksum);
    put(kRegionTableAt[copy], bytes);
  }
}

void VhdxBuilder::write_metadata() {
  std::vector<std::byte> table = stored(MetadataTableHeaderLayout{
      .signature = kMetadataSignature,
      .reserved = std::uint16_t{0},
      .entry_count = metadata_count_.value_or(static_cast<std::uint16_t>(items_.size())),
      .reserved2 = {}});
  std::uint32_t next = kMetadataTableBytes;
  std::vector<Item> all = items_;
  all.insert(all.end(), stale_.begin(), stale_.end());
  for (const Item& item : all) {
    const auto length = item.length.value_or(static_cast<std::uint32_t>(item.content.size()));
    const std::uint32_t offset = item.offset.value_or(item.content.empty() ? 0 : next);
    append(table,
           stored(MetadataEntryLayout{
               .item_id = item.id, .offset = offset, .length = length, .flags = item.flags, .reserved = 0u}));
    if (!item.content.empty()) put(metadata_offset_ + offset, item.content);
    if (!item.offset) next += static_cast<std::uint32_t>(item.content.size());
  }
  put(metadata_offset_, table);
}

std::unique_ptr<MemoryFile> VhdxBuilder::build(std::optional<std::uint64_t> size, std::string name) {
  lay_out();
  write_metadata();
  write_headers();
  write_region_tables();
  for (const auto& [index, value] : bat_) {
    put(bat_offset_ + index * kBatEntryBytes, bytes_of(Le<std::uint64_t>(value)));
  }
  VDISK_ASSERT(file_->resize(size.value_or(next_)).has_value());
  // A MemoryFile's name is fixed at birth: give the pages a new file.
  auto named = std::make_unique<MemoryFile>(std::move(name));
  std::vector<std::byte> page(MemoryFile::kPageBytes);
  const std::uint64_t end = *file_->size();
  for (std::uint64_t at = file_->next_data(FileOffset{0})->bytes; at < end;) {
    const std::size_t got = *file_->read(FileOffset{at}, page);
    VDISK_ASSERT(named->write(FileOffset{at}, std::span(page).first(got)).has_value());
    at = file_->next_data(FileOffset{at + got})->bytes;
  }
  VDISK_ASSERT(named->resize(end).has_value());
  file_.reset();
  laid_out_ = false;
  return named;
}

}  // namespace vdisk::testing
