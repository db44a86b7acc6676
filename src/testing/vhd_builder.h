// SPDX-License-Identifier: Apache-2.0
//
// Makes VHDs for tests: right ones of any shape, and ones damaged in one chosen way. Shares the layout
// structs with the reader and nothing else.
//
//   auto file = VhdBuilder::dynamic(10 << 20).fill(0, 8, 0xAA).edit_header([](auto& h) { h.block_size = 3;
//   }).file();
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/vhd/layout.h"
#include "io/memory_file.h"

namespace vdisk::testing {

using VhdId = std::array<std::uint8_t, 16>;

/// Sixteen bytes that differ for each `number`.
VhdId vhd_id(std::uint8_t number);
/// Bytes of UTF-16, for locators made by hand.
std::vector<std::byte> utf16le_bytes(std::string_view utf8);
std::vector<std::byte> utf16be_bytes(std::string_view utf8);
std::vector<std::byte> text_bytes(std::string_view text);

class VhdBuilder {
 public:
  static VhdBuilder fixed(std::uint64_t size_bytes);
  static VhdBuilder dynamic(std::uint64_t size_bytes, std::uint32_t block_bytes = 2 << 20);
  static VhdBuilder differencing(std::uint64_t size_bytes, std::uint32_t block_bytes = 2 << 20);

  // Identity.
  VhdBuilder& unique_id(const VhdId& id);
  VhdBuilder& creator(std::string_view application, std::uint32_t version, std::string_view host_os);
  VhdBuilder& timestamp(std::uint32_t seconds_since_2000);

  // The parent, of a differencing image. Texts are UTF-8; "" leaves the locator out.
  VhdBuilder& parent(const VhdId& id, std::string_view relative, std::string_view absolute = "",
                     std::string_view name = "");
  VhdBuilder& parent_timestamp(std::uint32_t seconds_since_2000);
  /// Adds a locator with any code and payload.
  VhdBuilder& locator(std::uint32_t platform_code, std::vector<std::byte> payload);

  // Content. Blocks lie in the file in the order in which they are first named.
  /// Sectors with every byte `value`; their bits are set (and in dynamic images those of the whole block).
  VhdBuilder& fill(std::uint64_t first_sector, std::uint64_t count, std::uint8_t value);
  VhdBuilder& write(DiskOffset at, std::span<const std::byte> data);
  /// Allocates a block of zeros: in dynamic images with all bits set, else with all clear.
  VhdBuilder& allocate(std::uint32_t block);
  /// Sets or clears bits of sectors whose bytes stay as they are. Their blocks are allocated if need be.
  VhdBuilder& mark(std::uint64_t first_sector, std::uint64_t count, bool present);

  // Layout.
  VhdBuilder& header_at(std::uint64_t offset);  ///< Default 512.
  VhdBuilder& table_at(std::uint64_t offset);   ///< Default: after the header, or after the locators.
  VhdBuilder& locators_first();                 ///< Locators between header and table; else behind the table.
  VhdBuilder& table_entries(std::uint32_t count);  ///< More than the disk needs.
  VhdBuilder& table_padding(std::uint8_t value);   ///< Default 0xFF.
  VhdBuilder& spare_entry(std::uint32_t value);    ///< Of entries past the disk's blocks. Default 0xFFFFFFFF.
  VhdBuilder& first_block_at(std::uint64_t offset);  ///< Of its bitmap.
  VhdBuilder& windows_alignment();                   ///< Bitmaps and footer at 0xE00 modulo 0x1000.
  VhdBuilder& gap_between_blocks(std::uint64_t bytes);
  VhdBuilder& padding_before_footer(std::uint64_t bytes);
  VhdBuilder& xen_batmap();

  // Damage. Edits come before the checksum is computed, patches after everything.
  VhdBuilder& edit_footer(std::function<void(vhd::Footer&)> edit);  ///< Both copies.
  VhdBuilder& edit_end_footer(std::function<void(vhd::Footer&)> edit);
  VhdBuilder& edit_front_footer(std::function<void(vhd::Footer&)> edit);
  VhdBuilder& edit_header(std::function<void(vhd::DynamicHeader&)> edit);
  VhdBuilder& bat_entry(std::uint32_t block, std::uint32_t sector);
  VhdBuilder& break_end_footer();    ///< Its checksum.
  VhdBuilder& break_front_footer();  ///< Its checksum.
  VhdBuilder& break_header();        ///< Its checksum.
  VhdBuilder& omit_end_footer();
  VhdBuilder& short_footer();  ///< 511 bytes.
  VhdBuilder& patch(std::uint64_t offset, std::vector<std::byte> bytes);
  VhdBuilder& cut(std::uint64_t bytes);  ///< Takes so many bytes off the end.
  VhdBuilder& append(std::vector<std::byte> bytes);

  std::unique_ptr<MemoryFile> file(std::string name = "test.vhd") const;
  std::vector<std::byte> bytes() const;
  /// Where `block`'s bitmap lies; 0 if it is not allocated.
  std::uint64_t block_at(std::uint32_t block) const;
  std::uint64_t block_data_at(std::uint32_t block) const;
  std::uint64_t table_offset() const;
  /// Where the footer at the end begins, before any cut.
  std::uint64_t footer_at() const;

 private:
  struct Block {
    std::map<std::uint32_t, std::vector<std::byte>> sectors;  // by number in the block; others are zeros
    std::vector<bool> bits;
  };
  struct Locator {
    std::uint32_t code;
    std::vector<std::byte> payload;
  };
  struct Layout;

  VhdBuilder(std::uint32_t type, std::uint64_t size_bytes, std::uint32_t block_bytes);
  bool is_fixed() const { return footer_.disk_type == 2; }
  Block& block(std::uint32_t number);
  std::vector<std::byte>& sector(std::uint64_t number);
  Layout lay_out() const;
  void write_header(MemoryFile& file, const Layout& layout) const;
  void write_table(MemoryFile& file, const Layout& layout) const;
  void write_blocks(MemoryFile& file, const Layout& layout) const;
  void write_footers(MemoryFile& file, const Layout& layout) const;

  vhd::Footer footer_{};
  vhd::DynamicHeader header_{};
  std::uint64_t size_bytes_;
  std::uint32_t block_bytes_;
  std::vector<std::uint32_t> order_;  // blocks as they lie in the file
  std::map<std::uint32_t, Block> blocks_;
  std::map<std::uint64_t, std::vector<std::byte>> fixed_sectors_;
  std::vector<Locator> locators_;
  std::map<std::uint32_t, std::uint32_t> bat_overrides_;
  std::optional<std::uint64_t> table_at_;
  std::optional<std::uint64_t> first_block_at_;
  std::uint64_t header_at_ = 512;
  std::uint32_t spare_entry_ = vhd::kUnallocated;
  std::uint8_t table_padding_ = 0xFF;
  bool locators_first_ = false;
  bool windows_alignment_ = false;
  bool xen_batmap_ = false;
  std::uint64_t gap_bytes_ = 0;
  std::uint64_t padding_bytes_ = 0;
  std::vector<std::function<void(vhd::Footer&)>> footer_edits_;
  std::vector<std::function<void(vhd::Footer&)>> end_edits_;
  std::vector<std::function<void(vhd::Footer&)>> front_edits_;
  std::vector<std::function<void(vhd::DynamicHeader&)>> header_edits_;
  bool break_end_ = false;
  bool break_front_ = false;
  bool break_header_ = false;
  bool omit_end_ = false;
  bool short_footer_ = false;
  std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> patches_;
  std::uint64_t cut_bytes_ = 0;
  std::vector<std::byte> appended_;
};

}  // namespace vdisk::testing
