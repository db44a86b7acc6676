// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/parse.h"

#include <algorithm>

#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

BatGeometry Parsed::geometry() const noexcept {
  return BatGeometry::of(*metadata.virtual_disk_bytes, *metadata.block_bytes, *metadata.logical_sector_bytes,
                         *metadata.has_parent);
}

DiskType Parsed::type() const noexcept {
  if (metadata.has_parent.value_or(false)) return DiskType::kDifferencing;
  return metadata.leave_block_allocated.value_or(false) ? DiskType::kFixed : DiskType::kDynamic;
}

Status parse_before_log(File& file, Parsed& parsed) {
  parsed.creator = VDISK_TRY(read_identifier(file));
  VDISK_TRY(read_headers_into(file, parsed.headers));
  return {};
}

Status parse_behind_log(File& file, Parsed& parsed) {
  parsed.regions = {};
  parsed.metadata = {};
  const Status regions = read_region_table_into(file, parsed.headers.current, parsed.regions);
  // Metadata that can be found are worth telling, whatever else is wrong with the regions.
  Status metadata;
  if (parsed.regions.metadata) metadata = read_metadata_into(file, *parsed.regions.metadata, parsed.metadata);
  if (!regions) return regions;
  if (!metadata) return metadata;
  const BatGeometry geometry = parsed.geometry();
  if (parsed.regions.bat->length < geometry.entry_count * kBatEntryBytes) {
    return fail(
        faults::kBatSize, "{}: the BAT needs {} entries of 8 bytes, but its region at {:#x} has {:#x} bytes",
        file.name(), geometry.entry_count, parsed.regions.bat->file_offset, parsed.regions.bat->length);
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> details_of(const Parsed& parsed) {
  std::vector<std::pair<std::string, std::string>> details;
  const auto add = [&](std::string_view name, auto&& value) {
    details.emplace_back(name, fmt::format("{}", std::forward<decltype(value)>(value)));
  };
  const Header& header = parsed.headers.current;
  add("header_used", parsed.headers.current_slot + 1);
  add("header_sequence_number", header.sequence_number);
  add("file_write_guid", header.file_write_guid.to_string());
  add("log_offset", header.log_offset);
  add("log_length_bytes", header.log_length);
  add("log_guid", header.log_guid.to_string());
  if (!parsed.regions.regions.empty()) {
    add("region_table_used", parsed.regions.copy_used + 1);
    add("regions", parsed.regions.regions.size());
  }
  if (parsed.regions.metadata) {
    add("metadata_offset", parsed.regions.metadata->file_offset);
    add("metadata_entries", parsed.metadata.entries.size());
  }
  if (parsed.regions.bat) {
    add("bat_offset", parsed.regions.bat->file_offset);
    add("bat_length_bytes", parsed.regions.bat->length);
  }
  const Metadata& metadata = parsed.metadata;
  if (metadata.virtual_disk_bytes && metadata.block_bytes && metadata.logical_sector_bytes &&
      metadata.has_parent) {
    add("bat_entries", parsed.geometry().entry_count);
    add("chunk_ratio", parsed.geometry().chunk_ratio());
  }
  if (metadata.leave_block_allocated) add("leave_block_allocated", *metadata.leave_block_allocated);
  for (const auto& [key, value] : metadata.locator_pairs) {
    constexpr std::string_view kKeys[] = {"parent_linkage", "parent_linkage2", "relative_path", "volume_path",
                                          "absolute_win32_path"};
    if (std::ranges::find(kKeys, key) != std::end(kKeys)) details.emplace_back(key, value);
  }
  return details;
}

std::vector<std::string> notes_of(const Parsed& parsed) {
  std::vector<std::string> notes;
  for (const HeaderCopy& copy : parsed.headers.copies) {
    if (!copy.problem.empty()) notes.push_back(copy.problem + "; the other header is used");
  }
  if (!parsed.regions.first_problem.empty() && parsed.regions.copy_used == 1) {
    notes.push_back(parsed.regions.first_problem + "; region table 2 is used");
  }
  notes.insert(notes.end(), parsed.metadata.notes.begin(), parsed.metadata.notes.end());
  return notes;
}

}  // namespace vdisk::vhdx
