// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/borrowed_file.h"
#include "format/vhdx/check.h"
#include "format/vhdx/image.h"
#include "format/vhdx/parse.h"

namespace vdisk::vhdx {

namespace {

void tell(const Parsed& parsed, ImageInfo& info) {
  const Metadata& metadata = parsed.metadata;
  if (metadata.has_parent && metadata.leave_block_allocated) info.type = parsed.type();
  info.virtual_size_bytes = metadata.virtual_disk_bytes;
  info.block_size_bytes = metadata.block_bytes;
  info.logical_sector_bytes = metadata.logical_sector_bytes;
  info.physical_sector_bytes = metadata.physical_sector_bytes;
  const Guid& data_write_guid = parsed.headers.current.data_write_guid;
  if (!data_write_guid.is_zero()) info.identifier = data_write_guid;
  info.virtual_disk_id = metadata.virtual_disk_id;
  info.creator = parsed.creator;
  info.dirty_log = parsed.dirty_log;
  if (metadata.has_parent.value_or(false)) {
    info.parent.emplace();
    if (metadata.parent) {
      info.parent->locator = *metadata.parent;
      if (!metadata.parent->linkage.empty()) info.parent->identifier = metadata.parent->linkage.front();
    }
  }
  if (parsed.headers.copies[0].header || parsed.headers.copies[1].header) info.details = details_of(parsed);
  for (std::string& note : notes_of(parsed)) info.notes.push_back(std::move(note));
}

/// What open would still refuse; also counts what is allocated.
Status judge_bat(File& file, const Parsed& parsed, ImageInfo& info) {
  const std::uint64_t file_bytes = VDISK_TRY(file.size());
  const BatRules rules(parsed.geometry(), OccupiedSpace(parsed.headers.current, parsed.regions.regions),
                       file_bytes, file.name());
  if (rules.geometry().entry_count * kBatEntryBytes <= kJudgedAtOpenBytes) {
    VDISK_TRY(judge_small_bat(file, *parsed.regions.bat, rules));
  }
  info.allocated_bytes = VDISK_TRY(count_allocated_bytes(file, *parsed.regions.bat, rules));
  return {};
}

}  // namespace

Status inspect_file(File& file, const ImageOpen& options, ImageInfo& info) {
  Parsed parsed;
  std::unique_ptr<File> view = std::make_unique<BorrowedFile>(file);
  Status first;
  if (VDISK_TRY(has_identifier(file))) info.format = FormatId::kVhdx;
  if (Status front = parse_before_log(file, parsed); !front) {
    tell(parsed, info);
    return front;
  }
  if (!parsed.headers.current.log_guid.is_zero()) {
    parsed.dirty_log = true;
    auto overlay = overlay_log(std::make_unique<BorrowedFile>(file), parsed.log(), options);
    if (overlay) {
      view = std::move(*overlay);
    } else {
      first = std::unexpected(std::move(overlay).error());
      info.notes.push_back(
          "the log cannot be replayed; what follows is the state before it and may be out of date");
    }
  }
  Status rest = parse_behind_log(*view, parsed);
  if (rest && first) rest = judge_bat(*view, parsed, info);
  tell(parsed, info);
  return first ? rest : first;
}

}  // namespace vdisk::vhdx
