// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/check.h"

#include <algorithm>
#include <limits>

#include "format/vhdx/borrowed_file.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/parse.h"
#include "format/vhdx/space_map.h"
#include "io/faults.h"

namespace vdisk::vhdx {

namespace {

using Severity = Finding::Severity;

class Checker {
 public:
  Checker(File& file, const ImageOpen& options, CheckSink& sink, const OperationControl& control)
      : file_(&file), options_(options), sink_(sink), control_(control) {}

  Status run();

 private:
  /// Turns damage into a finding; passes I/O errors and cancellation on. True when `status` was a success.
  Result<bool> found(Status status);
  Status check_headers();
  Status view_behind_log();
  Status check_region_tables();
  Status check_metadata();
  Status check_file_length();
  Status check_bat();
  void claim_regions(const BatRules& rules);
  Status check_entry(const BatRules& rules, std::uint64_t index, BatEntry entry);
  void check_unread(const BatRules& rules, std::uint64_t index, BatEntry entry);
  void claim_block(const BatRules& rules, std::uint64_t index, BatEntry entry, std::uint64_t length);
  void report_leaks();

  File* file_;
  const ImageOpen& options_;
  CheckSink& sink_;
  const OperationControl& control_;
  std::unique_ptr<File> overlay_;
  Parsed parsed_;
  std::uint64_t file_bytes_ = 0;
  SpaceMap space_;
  bool too_scattered_ = false;
};

Result<bool> Checker::found(Status status) {
  if (status) return true;
  if (!status.error().id().starts_with("vhdx.")) return std::unexpected(std::move(status).error());
  sink_.add(status.error());
  return false;
}

Status Checker::check_headers() {
  const Headers& headers = parsed_.headers;
  for (std::size_t i = 0; i < headers.copies.size(); ++i) {
    const HeaderCopy& copy = headers.copies[i];
    if (!copy.header) {
      sink_.add(Severity::kWarning, faults::kHeaderCopy,
                "{}: {}; header {} is used, and the next writer restores the other", file_->name(),
                copy.problem, headers.current_slot + 1);
    } else if (!copy.reserved_zero) {
      sink_.add(Severity::kNote, faults::kReserved, "{}: the reserved bytes of header {} are not all zero",
                file_->name(), i + 1);
    }
  }
  return {};
}

/// From here on the file is seen as it is after replay, if it can be.
Status Checker::view_behind_log() {
  if (parsed_.headers.current.log_guid.is_zero()) return {};
  const auto findings_before = sink_.report().findings_total;
  VDISK_TRY(check_log(*file_, parsed_.log(), options_, sink_));
  auto overlay = overlay_log(std::make_unique<BorrowedFile>(*file_), parsed_.log(), options_);
  if (overlay) {
    overlay_ = std::move(*overlay);
    file_ = overlay_.get();
    return {};
  }
  // check_log has told what is wrong; never end without a finding all the same.
  if (!overlay.error().id().starts_with("vhdx.")) return std::unexpected(std::move(overlay).error());
  if (sink_.report().findings_total == findings_before) sink_.add(overlay.error());
  return {};
}

Status Checker::check_region_tables() {
  std::array<RegionTableCopy, 2> copies;
  for (int i = 0; i < 2; ++i)
    copies[static_cast<std::size_t>(i)] = VDISK_TRY(read_region_table_copy(*file_, i));
  parsed_.regions = {};
  if (!copies[0].regions && !copies[1].regions) {
    return fail(faults::kRegionTablesInvalid, "{}: neither region table is valid: {}; {}", file_->name(),
                copies[0].problem, copies[1].problem);
  }
  for (const RegionTableCopy& copy : copies) {
    if (!copy.regions) {
      sink_.add(Severity::kWarning, faults::kRegionTableCopy, "{}: {}; the other region table is used",
                file_->name(), copy.problem);
    }
  }
  if (copies[0].regions && copies[1].regions && *copies[0].regions != *copies[1].regions) {
    sink_.add(Severity::kWarning, faults::kRegionTableCopy,
              "{}: both region tables are valid but name different regions; region table 1 is used",
              file_->name());
  }
  parsed_.regions.copy_used = copies[0].regions ? 0 : 1;
  parsed_.regions.regions = *copies[static_cast<std::size_t>(parsed_.regions.copy_used)].regions;
  return judge_regions(*file_, parsed_.headers.current, parsed_.regions);
}

Status Checker::check_metadata() {
  VDISK_TRY(read_metadata_into(*file_, *parsed_.regions.metadata, parsed_.metadata));
  for (const MetadataEntry& entry : parsed_.metadata.entries) {
    if (entry.reserved != 0 || (entry.flags & ~kItemFlags) != 0) {
      sink_.add(Severity::kNote, faults::kReserved,
                "{}: reserved bits of metadata item {} are set (flags {:#x})", file_->name(),
                entry.item_id.to_string(), entry.flags);
    }
  }
  const BatGeometry geometry = parsed_.geometry();
  if (parsed_.regions.bat->length < geometry.entry_count * kBatEntryBytes) {
    return fail(
        faults::kBatSize, "{}: the BAT needs {} entries of 8 bytes, but its region at {:#x} has {:#x} bytes",
        file_->name(), geometry.entry_count, parsed_.regions.bat->file_offset, parsed_.regions.bat->length);
  }
  return {};
}

Status Checker::check_file_length() {
  file_bytes_ = VDISK_TRY(file_->size());
  if (!is_multiple(file_bytes_, kAlignment)) {
    sink_.add(Severity::kNote, faults::kFileLength,
              "{}: the file has {:#x} bytes, {:#x} more than whole MiB; the missing end of its last MiB "
              "reads as zeros",
              file_->name(), file_bytes_, file_bytes_ % kAlignment);
  }
  return {};
}

void Checker::claim_regions(const BatRules& rules) {
  const std::uint64_t file_mib = rounded_file_bytes(file_bytes_) / kMiB;
  for (const OccupiedSpace::Range& range : rules.occupied().ranges()) {
    // Regions that nobody reads may reach past the end; they overlap nothing, judge_regions has seen to that.
    const std::uint64_t first = std::min(range.at / kMiB, file_mib);
    space_.claim(first, std::min(divide_up(range.length, kMiB), file_mib - first));
  }
}

void Checker::claim_block(const BatRules& rules, std::uint64_t index, BatEntry entry, std::uint64_t length) {
  switch (space_.claim(entry.file_offset() / kMiB, length / kMiB)) {
    case SpaceMap::Claim::kFree:
      break;
    case SpaceMap::Claim::kTaken:
      sink_.add(Severity::kDamage, faults::kBatOverlap,
                "{}: {} at {:#x} overlaps a block that an earlier entry names", file_->name(),
                describe_entry(rules.geometry(), index), entry.file_offset());
      break;
    case SpaceMap::Claim::kTooFar:
      too_scattered_ = true;
      break;
  }
}

/// Entries whose offset no reader follows, but which may still hold space or break the rules.
void Checker::check_unread(const BatRules& rules, std::uint64_t index, BatEntry entry) {
  const BatGeometry& geometry = rules.geometry();
  const std::uint64_t at = entry.file_offset();
  if (at == 0) return;
  const bool bitmap = geometry.is_bitmap_index(index);
  const bool anchor = !bitmap && (entry.payload_state() == PayloadState::kUndefined ||
                                  entry.payload_state() == PayloadState::kUnmapped);
  const std::uint64_t length = bitmap ? kBitmapBlockBytes : geometry.block_bytes;
  if ((anchor || (bitmap && !geometry.differencing)) && rules.place_is_free(at, length)) {
    claim_block(rules, index, entry, length);  // The space is kept for it.
    return;
  }
  sink_.add(Severity::kWarning, faults::kAnchor,
            "{}: {} in state {} carries the offset {:#x}, which {}; readers ignore it", file_->name(),
            describe_entry(geometry, index), entry.state(), at,
            anchor ? "is not free for it" : "an entry of this state may not have");
}

Status Checker::check_entry(const BatRules& rules, std::uint64_t index, BatEntry entry) {
  const BatGeometry& geometry = rules.geometry();
  if (!VDISK_TRY(found(rules.judge(index, entry)))) return {};
  if ((entry.raw & kBatReservedMask) != 0) {
    sink_.add(Severity::kNote, faults::kReserved, "{}: reserved bits of {} are set: {:#x}", file_->name(),
              describe_entry(geometry, index), entry.raw);
  }
  const std::uint64_t length = rules.space_of(index, entry);
  if (length == 0) {
    check_unread(rules, index, entry);
    return {};
  }
  claim_block(rules, index, entry, length);
  if (!geometry.is_bitmap_index(index)) ++sink_.report().blocks_allocated;
  return {};
}

void Checker::report_leaks() {
  if (too_scattered_) {
    sink_.add(Severity::kWarning, faults::kTooScattered,
              "{}: the blocks lie so far apart that not all of their overlaps could be looked for",
              file_->name());
    return;
  }
  const std::uint64_t leaked = rounded_file_bytes(file_bytes_) / kMiB - space_.taken();
  if (leaked == 0) return;
  sink_.report().leaked_bytes += leaked * kMiB;
  sink_.add(
      Severity::kWarning, faults::kLeak,
      "{}: {} MiB of the file belong to no region and to no block; converting the image leaves them out",
      file_->name(), leaked);
}

Status Checker::check_bat() {
  const BatRules rules(parsed_.geometry(), OccupiedSpace(parsed_.headers.current, parsed_.regions.regions),
                       file_bytes_, file_->name());
  const BatGeometry& geometry = rules.geometry();
  sink_.report().blocks_total += geometry.payload_blocks;
  claim_regions(rules);
  PartialBlockWatch watch(geometry, file_->name());
  const auto visit = [&](std::uint64_t index, BatEntry entry) -> Status {
    VDISK_TRY(check_entry(rules, index, entry));
    static_cast<void>(VDISK_TRY(found(watch.visit(index, entry))));
    return {};
  };
  const std::uint64_t total = geometry.entry_count * kBatEntryBytes;
  const auto before_piece = [&](std::uint64_t done) -> Status {
    if (control_.cancellation.cancelled()) {
      return fail(vdisk::faults::kCancelled, "checking {} was cancelled", file_->name());
    }
    if (control_.progress) control_.progress({done, total});
    return {};
  };
  VDISK_TRY(scan_bat(*file_, *parsed_.regions.bat, geometry, visit, before_piece));
  static_cast<void>(VDISK_TRY(found(watch.finish())));
  report_leaks();
  return {};
}

Status Checker::run() {
  if (!VDISK_TRY(found(parse_before_log(*file_, parsed_)))) return {};
  VDISK_TRY(check_headers());
  VDISK_TRY(view_behind_log());
  VDISK_TRY(check_file_length());
  if (!VDISK_TRY(found(check_region_tables()))) {
    // The first obstacle among the regions need not be the only damage.
    if (parsed_.regions.metadata) {
      static_cast<void>(
          VDISK_TRY(found(read_metadata_into(*file_, *parsed_.regions.metadata, parsed_.metadata))));
    }
    return {};
  }
  if (!VDISK_TRY(found(check_metadata()))) return {};
  return check_bat();
}

}  // namespace

Status check_file(File& file, const ImageOpen& options, CheckSink& sink, const OperationControl& control) {
  return Checker(file, options, sink, control).run();
}

}  // namespace vdisk::vhdx
