// SPDX-License-Identifier: Apache-2.0
//
// The metadata region: its table, the known items, and the parent locator (MS-VHDX 2.6, formats.md 2.10).
#pragma once

#include <vdisk/image_info.h>
#include <vdisk/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "format/vhdx/region.h"
#include "io/file.h"

namespace vdisk::vhdx {

struct MetadataEntry {
  Guid item_id;
  std::uint32_t offset = 0;  ///< From the region's beginning.
  std::uint32_t length = 0;
  std::uint32_t flags = 0;
  std::uint32_t reserved = 0;
  bool is_user() const noexcept;
};

/// What the metadata say. Each field is unset where damage hides it.
struct Metadata {
  std::vector<MetadataEntry> entries;
  std::optional<std::uint32_t> block_bytes;
  std::optional<bool> leave_block_allocated;
  std::optional<bool> has_parent;
  std::optional<std::uint64_t> virtual_disk_bytes;
  std::optional<Guid> virtual_disk_id;
  std::optional<std::uint32_t> logical_sector_bytes;
  std::optional<std::uint32_t> physical_sector_bytes;
  std::optional<ParentLocator> parent;
  std::vector<std::pair<std::string, std::string>> locator_pairs;  ///< As stored, in order.
  std::vector<std::string> notes;
};

/// Reads table and items into `metadata` as far as damage allows; returns the first obstacle
/// (`vhdx.metadata.*`, `vhdx.locator.*`). On success everything that a disk of its type has is set and legal.
Status read_metadata_into(File& file, const Region& region, Metadata& metadata);

/// Reads a parent locator item.
Status parse_parent_locator(std::span<const std::byte> item, std::string_view file_name, Metadata& metadata);

}  // namespace vdisk::vhdx
