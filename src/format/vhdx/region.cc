// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/region.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "base/crc32c.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

namespace {

std::string_view region_name(const Guid& guid) noexcept {
  if (guid == kBatRegion) return "BAT region";
  if (guid == kMetadataRegion) return "metadata region";
  return "region of unknown kind";
}

Status judge_place(File& file, const Region& region, std::uint64_t file_bytes) {
  const bool known = region.guid == kBatRegion || region.guid == kMetadataRegion;
  const bool sound = region.length != 0 && is_multiple(region.length, kAlignment) &&
                     is_multiple(region.file_offset, kAlignment) &&
                     region.file_offset >= kHeaderSectionBytes &&
                     checked_add<std::uint64_t>(region.file_offset, region.length).has_value();
  // A region that nobody here reads may lie anywhere; those that are read must be there.
  if (sound && (!known || region.end() <= rounded_file_bytes(file_bytes))) return {};
  return fail(faults::kRegionPlace,
              "{}: the {} {} of {:#x} bytes at {:#x} is not made of whole MiB behind the first MiB and "
              "inside the file "
              "of {:#x} bytes",
              file.name(), region_name(region.guid), region.guid.to_string(), region.length,
              region.file_offset, file_bytes);
}

Status judge_duplicates(File& file, std::vector<Region> regions) {
  std::ranges::sort(regions, {}, &Region::guid);
  const auto twin = std::ranges::adjacent_find(regions, {}, &Region::guid);
  if (twin == regions.end()) return {};
  return fail(faults::kRegionDuplicate, "{}: the region table names region {} twice", file.name(),
              twin->guid.to_string());
}

Status judge_overlaps(File& file, const Header& header, const std::vector<Region>& regions) {
  const OccupiedSpace space(header, regions);
  const auto& ranges = space.ranges();
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    const auto& before = ranges[i - 1];
    if (ranges[i].at < before.at + before.length) {
      return fail(faults::kRegionOverlap, "{}: the {} at {:#x} and the {} at {:#x} overlap", file.name(),
                  before.what, before.at, ranges[i].what, ranges[i].at);
    }
  }
  return {};
}

}  // namespace

std::uint64_t rounded_file_bytes(std::uint64_t file_bytes) noexcept {
  if (file_bytes > std::numeric_limits<std::uint64_t>::max() - kAlignment)
    return round_down(file_bytes, kAlignment);
  return round_up(file_bytes, kAlignment);
}

OccupiedSpace::OccupiedSpace(const Header& header, const std::vector<Region>& regions) {
  ranges_.reserve(regions.size() + 2);
  ranges_.push_back({0, kHeaderSectionBytes, "header section"});
  if (header.log_length != 0) ranges_.push_back({header.log_offset, header.log_length, "log"});
  for (const Region& region : regions) {
    // Absurd entries claim nothing; they are reported on their own.
    if (checked_add<std::uint64_t>(region.file_offset, region.length)) {
      ranges_.push_back({region.file_offset, region.length, region_name(region.guid)});
    }
  }
  std::ranges::sort(ranges_, {}, &Range::at);
}

const OccupiedSpace::Range* OccupiedSpace::find(std::uint64_t at, std::uint64_t length) const noexcept {
  const auto after = std::ranges::lower_bound(ranges_, at + length, {}, &Range::at);
  if (after == ranges_.begin()) return nullptr;
  const Range& last = *std::prev(after);
  return at < last.at + last.length ? &last : nullptr;
}

Result<RegionTableCopy> read_region_table_copy(File& file, int copy) {
  RegionTableCopy result;
  const std::uint64_t at = kRegionTableAt[static_cast<std::size_t>(copy)];
  std::vector<std::byte> bytes(kRegionTableBytes);
  const std::size_t got = VDISK_TRY(read_zero_padded(file, FileOffset{at}, bytes));
  const auto header = load<RegionTableHeaderLayout>(bytes);
  if (got < kRegionTableBytes) {
    result.problem = fmt::format("the file ends inside region table {} at {:#x}", copy + 1, at);
  } else if (header.signature != kRegionTableSignature) {
    result.problem = fmt::format("region table {} at {:#x} has no 'regi' signature", copy + 1, at);
  } else if (const std::uint32_t computed = crc32c_with_zero_field(bytes, kRegionTableChecksumAt);
             computed != header.checksum) {
    result.problem =
        fmt::format("region table {} at {:#x} has checksum {:#010x}, but its bytes give {:#010x}", copy + 1,
                    at, header.checksum.get(), computed);
  } else if (header.entry_count > kMostRegions) {
    result.problem = fmt::format("region table {} at {:#x} claims {} entries; {} fit", copy + 1, at,
                                 header.entry_count.get(), kMostRegions);
  } else {
    std::vector<Region>& regions = result.regions.emplace();
    regions.reserve(header.entry_count);
    auto rest = std::span<const std::byte>(bytes).subspan(sizeof(RegionTableHeaderLayout));
    for (std::uint32_t i = 0; i < header.entry_count; ++i, rest = rest.subspan(sizeof(RegionEntryLayout))) {
      const auto entry = load<RegionEntryLayout>(rest);
      regions.push_back({entry.guid, entry.file_offset, entry.length, entry.flags});
    }
  }
  return result;
}

Status judge_regions(File& file, const Header& header, RegionTable& table) {
  const std::uint64_t file_bytes = VDISK_TRY(file.size());
  VDISK_TRY(judge_duplicates(file, table.regions));
  for (const Region& region : table.regions) {
    VDISK_TRY(judge_place(file, region, file_bytes));
    // The Required bit of the two known regions is not looked at: QEMU writes 0 there (formats.md 2.4).
    if (region.guid == kBatRegion) {
      table.bat = region;
    } else if (region.guid == kMetadataRegion) {
      table.metadata = region;
    } else if ((region.flags & kRegionRequired) != 0) {
      return fail(faults::kRegionUnknown,
                  "{}: region {} at {:#x} is unknown here, and the file says that it may not be ignored",
                  file.name(), region.guid.to_string(), region.file_offset);
    }
  }
  VDISK_TRY(judge_overlaps(file, header, table.regions));
  if (!table.bat || !table.metadata) {
    return fail(faults::kRegionMissing, "{}: the region table names no {} region", file.name(),
                table.bat ? "metadata" : "BAT");
  }
  return {};
}

Status read_region_table_into(File& file, const Header& header, RegionTable& table) {
  RegionTableCopy copy = VDISK_TRY(read_region_table_copy(file, 0));
  table.copy_used = 0;
  if (!copy.regions) {
    table.first_problem = std::move(copy.problem);
    copy = VDISK_TRY(read_region_table_copy(file, 1));
    table.copy_used = 1;
  }
  if (!copy.regions) {
    return fail(faults::kRegionTablesInvalid, "{}: neither region table is valid: {}; {}", file.name(),
                table.first_problem, copy.problem);
  }
  table.regions = std::move(*copy.regions);
  return judge_regions(file, header, table);
}

}  // namespace vdisk::vhdx
