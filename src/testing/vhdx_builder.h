// SPDX-License-Identifier: Apache-2.0
//
// Makes VHDX files for tests, good and bad, byte by byte after formats.md 2 and without any code of the
// reader but its layout structs. What a disk is, is said first (sizes, regions, items); then its blocks; then
// build().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "format/vhdx/layout.h"
#include "io/memory_file.h"

namespace vdisk::testing {

class VhdxBuilder {
 public:
  using LocatorPairs = std::vector<std::pair<std::u16string, std::u16string>>;

  /// A metadata item; offset and length follow from the content unless they are set.
  struct Item {
    Guid id;
    std::uint32_t flags = 0;
    std::vector<std::byte> content;
    std::optional<std::uint32_t> offset;
    std::optional<std::uint32_t> length;
  };
  /// A region; `length` 0 and no offset mean: where and as long as the layout makes it.
  struct Region {
    Guid guid;
    std::uint32_t flags = vhdx::kRegionRequired;
    std::uint32_t length = 0;
    std::optional<std::uint64_t> offset;
  };

  static constexpr Guid kDataWriteGuid{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
  static constexpr Guid kFileWriteGuid{{0xf1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
  static constexpr Guid kDiskId{{0xd1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
  static constexpr Guid kParentGuid{{0xa1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

  /// A dynamic disk of this size with 1 MiB blocks and sectors of 512 bytes, laid out as Windows does it.
  explicit VhdxBuilder(std::uint64_t disk_bytes, std::uint32_t block_bytes = kMiB);

  VhdxBuilder& fixed();
  /// Differencing, with the locator that Windows writes, or with other pairs.
  VhdxBuilder& differencing();
  VhdxBuilder& differencing(const LocatorPairs& pairs);
  VhdxBuilder& sectors(std::uint32_t logical, std::uint32_t physical);
  VhdxBuilder& creator(std::u16string text);

  /// The order of things from 1 MiB on: 'L' log, 'M' metadata, 'B' BAT, 'U' each unknown region. "LMB" by
  /// default, unknown regions behind it.
  VhdxBuilder& order(std::string letters);
  VhdxBuilder& log_length(std::uint32_t bytes);
  VhdxBuilder& log_guid(const Guid& guid);
  VhdxBuilder& unknown_region(const Guid& guid, std::uint32_t length, bool required);
  /// Region table entries are written in the order BAT, metadata, unknown, and may be changed at will at the
  /// end.
  VhdxBuilder& edit_regions(std::function<void(std::vector<Region>&)> edit);

  VhdxBuilder& item(const Guid& id, std::uint32_t flags, std::vector<std::byte> content = {});
  VhdxBuilder& edit_item(const Guid& id, const std::function<void(Item&)>& edit);
  VhdxBuilder& remove_item(const Guid& id);
  /// An entry behind the entry count, as a removed one stays.
  VhdxBuilder& stale_entry(const Guid& id, std::uint32_t flags);
  VhdxBuilder& metadata_count(std::uint16_t count);
  static std::vector<std::byte> locator_item(const LocatorPairs& pairs,
                                             const Guid& type = vhdx::kVhdxLocatorType);

  /// Changes a header before its checksum is made (slot 0 or 1), or spoils its checksum.
  VhdxBuilder& edit_header(int slot, std::function<void(vhdx::HeaderLayout&)> edit);
  VhdxBuilder& bad_header(int slot);
  VhdxBuilder& bad_region_table(int copy);
  /// Changes one copy's entries alone.
  VhdxBuilder& edit_region_copy(int copy, std::function<void(std::vector<vhdx::RegionEntryLayout>&)> edit);
  VhdxBuilder& region_count(std::uint32_t count);

  // --- Blocks: from here on the layout stands. ---

  /// Takes `count` MiB at the file's end.
  std::uint64_t take(std::uint64_t mib);
  /// Gives the block space and the state FULLY_PRESENT or another; returns its file offset.
  std::uint64_t present(std::uint64_t block, vhdx::PayloadState state = vhdx::PayloadState::kFullyPresent);
  /// As present, PARTIALLY_PRESENT; its chunk's bitmap is made if there is none.
  std::uint64_t partial(std::uint64_t block);
  std::uint64_t bitmap(std::uint64_t chunk);
  /// Sets the bits of sectors of the disk; their chunk's bitmap must be there.
  VhdxBuilder& set_bits(std::uint64_t first_sector, std::uint64_t count);
  VhdxBuilder& state(std::uint64_t block, vhdx::PayloadState state);
  VhdxBuilder& raw_entry(std::uint64_t index, std::uint64_t value);
  /// Bytes of a block that has space.
  VhdxBuilder& write(std::uint64_t disk_offset, std::span<const std::byte> bytes);
  VhdxBuilder& write(std::uint64_t disk_offset, std::uint64_t length, std::uint8_t value);

  std::uint64_t payload_index(std::uint64_t block) const { return block + block / chunk_ratio(); }
  std::uint64_t bitmap_index(std::uint64_t chunk) const {
    return chunk * (chunk_ratio() + 1) + chunk_ratio();
  }
  std::uint64_t chunk_ratio() const {
    return (std::uint64_t{1} << 23) * logical_sector_bytes_ / block_bytes_;
  }
  std::uint64_t log_offset();
  std::uint64_t metadata_offset();
  std::uint64_t bat_offset();
  std::uint64_t end_offset();

  /// The file; `size` cuts or extends it in the end.
  std::unique_ptr<MemoryFile> build(std::optional<std::uint64_t> size = {}, std::string name = "test.vhdx");

 private:
  struct HeaderPlan {
    std::function<void(vhdx::HeaderLayout&)> edit;
    bool bad = false;
  };
  struct TablePlan {
    std::function<void(std::vector<vhdx::RegionEntryLayout>&)> edit;
    bool bad = false;
  };

  void lay_out();
  std::vector<std::byte> file_parameters() const;
  std::uint64_t bat_bytes() const;
  void write_headers();
  void write_region_tables();
  void write_metadata();
  void put(std::uint64_t at, std::span<const std::byte> bytes);

  std::uint64_t disk_bytes_;
  std::uint32_t block_bytes_;
  std::uint32_t logical_sector_bytes_ = 512;
  std::uint32_t file_flags_ = 0;
  std::u16string creator_ = u"vdisk tests";
  std::string order_ = "LMB";
  std::uint32_t log_length_ = kMiB;
  Guid log_guid_;
  std::vector<Region> unknown_regions_;
  std::function<void(std::vector<Region>&)> edit_regions_;
  std::vector<Item> items_;
  std::vector<Item> stale_;
  std::optional<std::uint16_t> metadata_count_;
  std::optional<std::uint32_t> region_count_;
  std::array<HeaderPlan, 2> headers_;
  std::array<TablePlan, 2> tables_;

  bool laid_out_ = false;
  std::uint64_t log_offset_ = 0;
  std::uint64_t metadata_offset_ = 0;
  std::uint64_t bat_offset_ = 0;
  std::uint64_t next_ = kMiB;
  std::map<std::uint64_t, std::uint64_t> bat_;
  std::shared_ptr<MemoryFile> file_;  // Shared by copies, so copy before the layout stands.
};

}  // namespace vdisk::testing
