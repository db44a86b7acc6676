// SPDX-License-Identifier: Apache-2.0
#include "testing/vhd_builder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"
#include "base/fault.h"
#include "base/utf16.h"
#include "format/vhd/geometry.h"

namespace vdisk::testing {

using vhd::kFooterBytes;
using vhd::kHeaderBytes;
using vhd::kSectorBytes;

namespace {

void put(MemoryFile& file, std::uint64_t at, std::span<const std::byte> bytes) {
  const Status written = file.write(FileOffset{at}, bytes);
  VDISK_ASSERT(written.has_value());
}

vhd::Tag4 tag(std::string_view text) {
  vhd::Tag4 out{};
  std::copy_n(text.begin(), std::min(text.size(), out.size()), out.begin());
  return out;
}

/// The reader's own function is not used, so that a mistake in it shows.
template <class Struct>
std::uint32_t independent_checksum(const Struct& value) {
  std::uint32_t sum = 0;
  const auto bytes = bytes_of(value);
  const std::size_t skip = offsetof(Struct, checksum);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i < skip || i >= skip + 4) sum += std::to_integer<std::uint32_t>(bytes[i]);
  }
  return 0xFFFF'FFFFu - sum;
}

}  // namespace

VhdId vhd_id(std::uint8_t number) {
  VhdId id;
  for (std::size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::uint8_t>(number * 16 + i + 1);
  return id;
}

std::vector<std::byte> utf16le_bytes(std::string_view utf8) {
  std::vector<std::byte> bytes;
  for (const char16_t unit : utf8_to_utf16(utf8).value_or(u"")) {
    bytes.push_back(static_cast<std::byte>(unit & 0xFF));
    bytes.push_back(static_cast<std::byte>(unit >> 8));
  }
  return bytes;
}

std::vector<std::byte> utf16be_bytes(std::string_view utf8) {
  std::vector<std::byte> bytes = utf16le_bytes(utf8);
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) std::swap(bytes[i], bytes[i + 1]);
  return bytes;
}

std::vector<std::byte> text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

VhdBuilder::VhdBuilder(std::uint32_t type, std::uint64_t size_bytes, std::uint32_t block_bytes)
    : size_bytes_(size_bytes), block_bytes_(block_bytes) {
  const vhd::Geometry geometry = vhd::geometry_of(size_bytes);
  footer_.cookie = vhd::kFooterCookie;
  footer_.features = 2;
  footer_.format_version = vhd::kVersion1;
  footer_.creator_application = tag("win ");
  footer_.creator_version = 0x000A'0000;
  footer_.creator_host_os = tag("Wi2k");
  footer_.timestamp = 646'229'134;
  footer_.original_size = size_bytes;
  footer_.current_size = size_bytes;
  footer_.cylinders = geometry.cylinders;
  footer_.heads = geometry.heads;
  footer_.sectors_per_track = geometry.sectors_per_track;
  footer_.disk_type = type;
  footer_.unique_id = vhd_id(1);
  header_.cookie = vhd::kHeaderCookie;
  header_.data_offset = ~std::uint64_t{0};
  header_.header_version = vhd::kVersion1;
  header_.block_size = block_bytes;
  if (block_bytes != 0) {
    header_.max_table_entries = static_cast<std::uint32_t>(divide_up(size_bytes, block_bytes));
  }
}

VhdBuilder VhdBuilder::fixed(std::uint64_t size_bytes) { return {2, size_bytes, 0}; }
VhdBuilder VhdBuilder::dynamic(std::uint64_t size_bytes, std::uint32_t block_bytes) {
  return {3, size_bytes, block_bytes};
}
VhdBuilder VhdBuilder::differencing(std::uint64_t size_bytes, std::uint32_t block_bytes) {
  return {4, size_bytes, block_bytes};
}

VhdBuilder& VhdBuilder::unique_id(const VhdId& id) {
  footer_.unique_id = id;
  return *this;
}

VhdBuilder& VhdBuilder::creator(std::string_view application, std::uint32_t version,
                                std::string_view host_os) {
  footer_.creator_application = tag(application);
  footer_.creator_version = version;
  footer_.creator_host_os = tag(host_os);
  return *this;
}

VhdBuilder& VhdBuilder::timestamp(std::uint32_t seconds_since_2000) {
  footer_.timestamp = seconds_since_2000;
  return *this;
}

VhdBuilder& VhdBuilder::parent(const VhdId& id, std::string_view relative, std::string_view absolute,
                               std::string_view name) {
  header_.parent_unique_id = id;
  if (!absolute.empty()) locator(static_cast<std::uint32_t>(vhd::Platform::kW2ku), utf16le_bytes(absolute));
  if (!relative.empty()) locator(static_cast<std::uint32_t>(vhd::Platform::kW2ru), utf16le_bytes(relative));
  const auto stored = utf16be_bytes(name);
  header_.parent_unicode_name = {};
  std::copy_n(stored.begin(), std::min(stored.size(), header_.parent_unicode_name.size()),
              header_.parent_unicode_name.begin());
  return *this;
}

VhdBuilder& VhdBuilder::parent_timestamp(std::uint32_t seconds_since_2000) {
  header_.parent_timestamp = seconds_since_2000;
  return *this;
}

VhdBuilder& VhdBuilder::locator(std::uint32_t platform_code, std::vector<std::byte> payload) {
  VDISK_ASSERT(locators_.size() < header_.parent_locators.size());
  locators_.push_back({platform_code, std::move(payload)});
  return *this;
}

VhdBuilder::Block& VhdBuilder::block(std::uint32_t number) {
  auto [found, fresh] = blocks_.try_emplace(number);
  if (fresh) {
    order_.push_back(number);
    found->second.bits.assign(block_bytes_ / kSectorBytes, footer_.disk_type == 3);
  }
  return found->second;
}

std::vector<std::byte>& VhdBuilder::sector(std::uint64_t number) {
  std::vector<std::byte>* bytes;
  if (is_fixed()) {
    bytes = &fixed_sectors_[number];
  } else {
    const std::uint32_t per_block = block_bytes_ / kSectorBytes;
    Block& home = block(static_cast<std::uint32_t>(number / per_block));
    home.bits[number % per_block] = true;
    bytes = &home.sectors[static_cast<std::uint32_t>(number % per_block)];
  }
  bytes->resize(kSectorBytes);
  return *bytes;
}

VhdBuilder& VhdBuilder::fill(std::uint64_t first_sector, std::uint64_t count, std::uint8_t value) {
  for (std::uint64_t i = 0; i < count; ++i) std::ranges::fill(sector(first_sector + i), std::byte{value});
  return *this;
}

VhdBuilder& VhdBuilder::write(DiskOffset at, std::span<const std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    sector((at.bytes + i) / kSectorBytes)[(at.bytes + i) % kSectorBytes] = data[i];
  }
  return *this;
}

VhdBuilder& VhdBuilder::allocate(std::uint32_t number) {
  block(number);
  return *this;
}

VhdBuilder& VhdBuilder::mark(std::uint64_t first_sector, std::uint64_t count, bool present) {
  const std::uint32_t per_block = block_bytes_ / kSectorBytes;
  for (std::uint64_t i = first_sector; i < first_sector + count; ++i) {
    block(static_cast<std::uint32_t>(i / per_block)).bits[i % per_block] = present;
  }
  return *this;
}

VhdBuilder& VhdBuilder::header_at(std::uint64_t offset) {
  header_at_ = offset;
  return *this;
}
VhdBuilder& VhdBuilder::table_at(std::uint64_t offset) {
  table_at_ = offset;
  return *this;
}
VhdBuilder& VhdBuilder::locators_first() {
  locators_first_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::table_entries(std::uint32_t count) {
  header_.max_table_entries = count;
  return *this;
}
VhdBuilder& VhdBuilder::table_padding(std::uint8_t value) {
  table_padding_ = value;
  return *this;
}
VhdBuilder& VhdBuilder::spare_entry(std::uint32_t value) {
  spare_entry_ = value;
  return *this;
}
VhdBuilder& VhdBuilder::first_block_at(std::uint64_t offset) {
  first_block_at_ = offset;
  return *this;
}
VhdBuilder& VhdBuilder::windows_alignment() {
  windows_alignment_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::gap_between_blocks(std::uint64_t bytes) {
  gap_bytes_ = bytes;
  return *this;
}
VhdBuilder& VhdBuilder::padding_before_footer(std::uint64_t bytes) {
  padding_bytes_ = bytes;
  return *this;
}
VhdBuilder& VhdBuilder::xen_batmap() {
  xen_batmap_ = true;
  return creator({"tap\0", 4}, 0x0001'0003, {"\0\0\0\0", 4});
}
VhdBuilder& VhdBuilder::edit_footer(std::function<void(vhd::Footer&)> edit) {
  footer_edits_.push_back(std::move(edit));
  return *this;
}
VhdBuilder& VhdBuilder::edit_end_footer(std::function<void(vhd::Footer&)> edit) {
  end_edits_.push_back(std::move(edit));
  return *this;
}
VhdBuilder& VhdBuilder::edit_front_footer(std::function<void(vhd::Footer&)> edit) {
  front_edits_.push_back(std::move(edit));
  return *this;
}
VhdBuilder& VhdBuilder::edit_header(std::function<void(vhd::DynamicHeader&)> edit) {
  header_edits_.push_back(std::move(edit));
  return *this;
}
VhdBuilder& VhdBuilder::bat_entry(std::uint32_t number, std::uint32_t sector_number) {
  bat_overrides_[number] = sector_number;
  return *this;
}
VhdBuilder& VhdBuilder::break_end_footer() {
  break_end_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::break_front_footer() {
  break_front_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::break_header() {
  break_header_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::omit_end_footer() {
  omit_end_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::short_footer() {
  short_footer_ = true;
  return *this;
}
VhdBuilder& VhdBuilder::patch(std::uint64_t offset, std::vector<std::byte> bytes) {
  patches_.emplace_back(offset, std::move(bytes));
  return *this;
}
VhdBuilder& VhdBuilder::cut(std::uint64_t bytes) {
  cut_bytes_ = bytes;
  return *this;
}
VhdBuilder& VhdBuilder::append(std::vector<std::byte> bytes) {
  appended_ = std::move(bytes);
  return *this;
}

struct VhdBuilder::Layout {
  std::uint64_t table = 0;
  std::uint64_t batmap = 0;
  std::vector<std::uint64_t> locators;
  std::map<std::uint32_t, std::uint64_t> blocks;
  std::uint64_t footer = 0;
};

VhdBuilder::Layout VhdBuilder::lay_out() const {
  Layout layout;
  if (is_fixed()) {
    layout.footer = size_bytes_ + padding_bytes_;
    return layout;
  }
  const auto align = [&](std::uint64_t at) {
    return windows_alignment_ ? round_up(at + 0x200, 0x1000) - 0x200 : at;
  };
  const auto place_locators = [&](std::uint64_t at) {
    for (const Locator& locator : locators_) {
      layout.locators.push_back(at);
      at += round_up(std::max<std::uint64_t>(locator.payload.size(), 1), kSectorBytes);
    }
    return at;
  };
  std::uint64_t at = header_at_ + kHeaderBytes;
  if (locators_first_) at = place_locators(at);
  layout.table = table_at_.value_or(at);
  at = std::max(at, layout.table + round_up(std::uint64_t{header_.max_table_entries} * sizeof(std::uint32_t),
                                            kSectorBytes));
  if (xen_batmap_) {
    layout.batmap = at;
    at += 2 * kSectorBytes;
  }
  if (!locators_first_) at = place_locators(at);
  at = first_block_at_.value_or(align(at));
  for (const std::uint32_t number : order_) {
    layout.blocks[number] = at;
    at = align(at + vhd::bitmap_bytes_of(block_bytes_) + block_bytes_ + gap_bytes_);
  }
  layout.footer = at + padding_bytes_;
  return layout;
}

void VhdBuilder::write_header(MemoryFile& file, const Layout& layout) const {
  vhd::DynamicHeader header = header_;
  header.table_offset = layout.table;
  for (std::size_t i = 0; i < locators_.size(); ++i) {
    const auto length = static_cast<std::uint32_t>(locators_[i].payload.size());
    vhd::LocatorEntry& entry = header.parent_locators[i];
    entry.platform_code = locators_[i].code;
    entry.data_space = static_cast<std::uint32_t>(round_up(length, kSectorBytes));
    entry.data_length = length;
    entry.data_offset = layout.locators[i];
    put(file, layout.locators[i], locators_[i].payload);
  }
  for (const auto& edit : header_edits_) edit(header);
  header.checksum = independent_checksum(header) ^ (break_header_ ? 1u : 0u);
  put(file, header_at_, bytes_of(header));
  if (xen_batmap_) {
    vhd::BatmapHeader batmap{};
    batmap.cookie = vhd::kBatmapCookie;
    batmap.batmap_offset = layout.batmap + kSectorBytes;
    batmap.batmap_sectors = 1;
    batmap.batmap_version = 0x0001'0002;
    put(file, layout.batmap, bytes_of(batmap));
  }
}

void VhdBuilder::write_table(MemoryFile& file, const Layout& layout) const {
  const std::uint32_t needed = static_cast<std::uint32_t>(divide_up(size_bytes_, block_bytes_));
  const std::uint64_t count = header_.max_table_entries;
  constexpr std::uint64_t kStep = 1 << 20;  // a table of gigabytes need not be in memory twice
  for (std::uint64_t first = 0; first < count; first += kStep) {
    std::vector<Be<std::uint32_t>> entries(std::min(kStep, count - first),
                                           Be<std::uint32_t>(vhd::kUnallocated));
    for (std::uint64_t i = std::max<std::uint64_t>(first, needed); i < first + entries.size(); ++i) {
      entries[i - first] = spare_entry_;
    }
    const auto set = [&](std::uint64_t number, std::uint32_t value) {
      if (number >= first && number - first < entries.size()) entries[number - first] = value;
    };
    for (const auto& [number, at] : layout.blocks) set(number, static_cast<std::uint32_t>(at / kSectorBytes));
    for (const auto& [number, value] : bat_overrides_) set(number, value);
    put(file, layout.table + first * sizeof(std::uint32_t), std::as_bytes(std::span(entries)));
  }
  const std::uint64_t used = count * sizeof(std::uint32_t);
  put(file, layout.table + used,
      std::vector<std::byte>(round_up(used, kSectorBytes) - used, std::byte{table_padding_}));
}

void VhdBuilder::write_blocks(MemoryFile& file, const Layout& layout) const {
  const std::uint32_t bitmap_bytes = vhd::bitmap_bytes_of(block_bytes_);
  for (const auto& [number, content] : blocks_) {
    const std::uint64_t at = layout.blocks.at(number);
    std::vector<std::byte> bitmap(bitmap_bytes);
    for (std::size_t i = 0; i < content.bits.size(); ++i) {
      if (content.bits[i]) bitmap[i / 8] |= std::byte{0x80} >> (i % 8);
    }
    put(file, at, bitmap);
    for (const auto& [in_block, bytes] : content.sectors) {
      put(file, at + bitmap_bytes + std::uint64_t{in_block} * kSectorBytes, bytes);
    }
  }
}

void VhdBuilder::write_footers(MemoryFile& file, const Layout& layout) const {
  vhd::Footer footer = footer_;
  footer.data_offset = is_fixed() ? ~std::uint64_t{0} : header_at_;
  for (const auto& edit : footer_edits_) edit(footer);
  vhd::Footer front = footer;
  for (const auto& edit : end_edits_) edit(footer);
  for (const auto& edit : front_edits_) edit(front);
  footer.checksum = independent_checksum(footer) ^ (break_end_ ? 1u : 0u);
  front.checksum = independent_checksum(front) ^ (break_front_ ? 1u : 0u);
  if (!is_fixed()) put(file, 0, bytes_of(front));
  if (!omit_end_)
    put(file, layout.footer, bytes_of(footer).first(short_footer_ ? vhd::kShortFooterBytes : kFooterBytes));
}

std::unique_ptr<MemoryFile> VhdBuilder::file(std::string name) const {
  const Layout layout = lay_out();
  auto built = std::make_unique<MemoryFile>(std::move(name));
  VDISK_ASSERT(built->resize(layout.footer).has_value());
  for (const auto& [number, bytes] : fixed_sectors_) put(*built, number * kSectorBytes, bytes);
  if (!is_fixed()) {
    write_header(*built, layout);
    write_table(*built, layout);
    write_blocks(*built, layout);
  }
  write_footers(*built, layout);
  for (const auto& [at, bytes] : patches_) put(*built, at, bytes);
  const std::uint64_t size = built->size().value() - cut_bytes_;
  VDISK_ASSERT(built->resize(size).has_value());
  put(*built, size, appended_);
  return built;
}

std::vector<std::byte> VhdBuilder::bytes() const {
  const auto built = file();
  std::vector<std::byte> all(built->size().value());
  VDISK_ASSERT(read_exactly(*built, FileOffset{0}, all).has_value());
  return all;
}

std::uint64_t VhdBuilder::block_at(std::uint32_t number) const {
  const Layout layout = lay_out();
  const auto found = layout.blocks.find(number);
  return found == layout.blocks.end() ? 0 : found->second;
}

std::uint64_t VhdBuilder::block_data_at(std::uint32_t number) const {
  return block_at(number) + vhd::bitmap_bytes_of(block_bytes_);
}

std::uint64_t VhdBuilder::table_offset() const { return lay_out().table; }
std::uint64_t VhdBuilder::footer_at() const { return lay_out().footer; }

}  // namespace vdisk::testing
