// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/inspect.h"

#include "format/vhd/block_table.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

/// What a footer claims although it could not be relied on.
void describe_claims(const Footer& footer, ImageInfo& info) {
  const std::uint32_t type = footer.disk_type;
  if (type >= static_cast<std::uint32_t>(DiskType::kFixed) &&
      type <= static_cast<std::uint32_t>(DiskType::kDifferencing)) {
    info.type = static_cast<DiskType>(type);
  }
  info.virtual_size_bytes = footer.current_size;
}

Status examine(File& file, const ImageOpen& options, Parsed& parsed) {
  VDISK_TRY(parse(file, parsed));
  if (!parsed.fixed()) VDISK_TRY(BlockTable::load(file, parsed, options.limits));
  return {};
}

}  // namespace

Status inspect(File& file, const ImageOpen& options, ImageInfo& info) {
  Parsed parsed;
  Status status = examine(file, options, parsed);
  info.format = FormatId::kVhd;
  if (!parsed.footer) return status;
  const ImageProperties& properties = parsed.properties;
  info.logical_sector_bytes = properties.geometry.logical_sector_bytes;
  info.physical_sector_bytes = properties.geometry.physical_sector_bytes;
  describe_claims(*parsed.footer, info);
  if (info.type == DiskType::kFixed) info.block_size_bytes = 0;
  if (parsed.header) info.block_size_bytes = parsed.header->block_size;
  if (!properties.identifier.is_zero()) info.identifier = info.virtual_disk_id = properties.identifier;
  info.creator = properties.creator;
  if (properties.parent) {
    info.parent.emplace();
    info.parent->locator = *properties.parent;
    info.parent->identifier = properties.parent->linkage.front();
  }
  info.details = properties.details;
  info.notes = properties.notes;
  if (parsed.footers.chosen_place == FooterPlace::kNone) {
    info.notes.emplace_back("no copy of the footer is good: what is told here may be wrong");
  }
  return status;
}

}  // namespace vdisk::vhd
