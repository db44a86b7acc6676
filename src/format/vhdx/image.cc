// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/image.h"

#include <algorithm>

#include "format/vhdx/faults.h"
#include "format/vhdx/header.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/vhdx.h"

namespace vdisk::vhdx {

namespace {

ImageProperties properties_of(const Parsed& parsed) {
  ImageProperties properties;
  const Metadata& metadata = parsed.metadata;
  properties.type = parsed.type();
  properties.geometry = {
      .virtual_size_bytes = *metadata.virtual_disk_bytes,
      .logical_sector_bytes = *metadata.logical_sector_bytes,
      .physical_sector_bytes = *metadata.physical_sector_bytes,
      .block_bytes = *metadata.block_bytes,
  };
  properties.identifier = parsed.headers.current.data_write_guid;
  properties.virtual_disk_id = *metadata.virtual_disk_id;
  properties.creator = parsed.creator;
  properties.dirty_log = parsed.dirty_log;
  properties.parent = metadata.parent;
  properties.details = details_of(parsed);
  properties.notes = notes_of(parsed);
  return properties;
}

/// The memory of cached pages is shared out: the BAT takes what it may need, up to three quarters.
std::uint64_t bat_share(const BatGeometry& geometry, const Limits& limits) noexcept {
  return std::min(round_up(geometry.entry_count * kBatEntryBytes, PagedTable::kPageBytes),
                  limits.table_bytes / 4 * 3);
}

}  // namespace

Result<std::uint64_t> count_allocated_bytes(File& file, const Region& bat, const BatRules& rules) {
  const BatGeometry& geometry = rules.geometry();
  std::uint64_t allocated = 0;
  const auto visit = [&](std::uint64_t index, BatEntry entry) -> Status {
    if (geometry.is_bitmap_index(index) || rules.space_of(index, entry) == 0) return {};
    const std::uint64_t at = geometry.block_from_index(index) << geometry.block_shift;
    allocated += std::min<std::uint64_t>(geometry.block_bytes, geometry.disk_bytes - at);
    return {};
  };
  VDISK_TRY(scan_bat(file, bat, geometry, visit));
  return allocated;
}

VhdxImage::VhdxImage(std::unique_ptr<File> file, Parsed parsed, BatRules rules, std::uint64_t file_bytes,
                     const ImageOpen& options)
    : file_(std::move(file)),
      bat_region_(*parsed.regions.bat),
      file_bytes_(file_bytes),
      absent_(parsed.geometry().differencing ? Run::Source::kParent : Run::Source::kZero),
      properties_(properties_of(parsed)),
      bat_(*file_, bat_region_, std::move(rules), bat_share(parsed.geometry(), options.limits)) {
  if (bat_.geometry().differencing) {
    bitmaps_.emplace(*file_, bat_, options.limits.table_bytes - bat_share(bat_.geometry(), options.limits));
  }
  if (options.writable) {
    const WriterParts parts = {
        .file = *file_,
        .bat_region = bat_region_,
        .bat = bat_,
        .bitmaps = bitmaps_ ? &*bitmaps_ : nullptr,
        .gate = io_gate(),
        .file_bytes = file_bytes_,
        .leave_allocated = properties_.type == DiskType::kFixed,
    };
    writer_.emplace(parts, std::move(parsed.headers));
  }
}

const Format& VhdxImage::format() const noexcept { return kFormat; }

/// The disk offset, at most `end`, up to which nothing is allocated, given that the BAT page of `index` is
/// zero.
Result<std::uint64_t> VhdxImage::end_of_unused(std::uint64_t index, std::uint64_t end) {
  // Far ahead it pays to ask the file where its next data is, instead of loading page after page.
  constexpr std::uint64_t kFarPages = 4;
  const BatGeometry& geometry = bat_.geometry();
  const auto disk_offset = [&](std::uint64_t first_index) {
    return geometry.block_from_index(first_index) << geometry.block_shift;
  };
  const std::uint64_t next = round_down(index, Bat::kEntriesPerPage) + Bat::kEntriesPerPage;
  if (disk_offset(next + kFarPages * Bat::kEntriesPerPage) >= end) return std::min(disk_offset(next), end);
  return std::min(disk_offset(VDISK_TRY(bat_.next_used_index(index))), end);
}

/// Adds bytes of the file, zeros where the file ends before its last MiB does (formats.md 6 no. 66); returns
/// how many of them the list took.
std::uint64_t VhdxImage::add_file_run(std::uint64_t at, std::uint64_t length, std::uint64_t from,
                                      RunList& runs) const {
  const std::uint64_t file_bytes = file_bytes_.load(std::memory_order_acquire);
  const std::uint64_t stored = from >= file_bytes ? 0 : std::min(length, file_bytes - from);
  if (stored != 0 && !runs.add({Run::Source::kFile, DiskOffset{at}, stored, FileOffset{from}})) return 0;
  if (stored == length) [[likely]]
    return length;
  const bool added = runs.add({Run::Source::kZero, DiskOffset{at + stored}, length - stored, {}});
  return added ? length : stored;
}

Result<std::uint64_t> VhdxImage::add_partial_block(std::uint64_t at, std::uint64_t end, std::uint64_t from,
                                                   RunList& runs) {
  const unsigned shift = bat_.geometry().sector_shift;
  const std::uint64_t last_sector = divide_up(end, bat_.geometry().sector_bytes);
  const std::uint64_t begin = at;
  while (at < end) {
    const BitRun bits = VDISK_TRY(bitmaps_->run(at >> shift, last_sector));
    const std::uint64_t length = std::min(bits.end << shift, end) - at;
    std::uint64_t added = 0;
    if (bits.value) {
      added = add_file_run(at, length, from + (at - begin), runs);
    } else if (runs.add({Run::Source::kParent, DiskOffset{at}, length, {}})) {
      added = length;
    }
    at += added;
    if (added != length) break;
  }
  return at - begin;
}

Result<std::uint64_t> VhdxImage::resolve_read(DiskRange range, RunList& runs) {
  runs.clear();
  const BatGeometry& geometry = bat_.geometry();
  const std::uint64_t end = range.end();
  VDISK_ASSERT(range.length != 0 && fits_within(range.at.bytes, range.length, geometry.disk_bytes));
  std::uint64_t at = range.at.bytes;
  while (at < end) {
    const std::uint64_t block = at >> geometry.block_shift;
    const std::uint64_t index = geometry.payload_index(block);
    const PagedTable::Page* page = VDISK_TRY(bat_.page_of(index));
    if (PagedTable::is_zero(page)) {
      const std::uint64_t unused = VDISK_TRY(end_of_unused(index, end)) - at;
      if (!runs.add({absent_, DiskOffset{at}, unused, {}})) break;
      at += unused;
      continue;
    }
    const BatEntry entry = Bat::entry_in(*page, index);
    const std::uint64_t piece = std::min(end, (block + 1) << geometry.block_shift) - at;
    const std::uint64_t from = entry.file_offset() + (at & (geometry.block_bytes - 1));
    std::uint64_t added = 0;
    switch (entry.payload_state()) {
      case PayloadState::kFullyPresent:
        added = add_file_run(at, piece, from, runs);
        break;
      case PayloadState::kPartiallyPresent:
        added = VDISK_TRY(add_partial_block(at, at + piece, from, runs));
        break;
      case PayloadState::kNotPresent:
        added = runs.add({absent_, DiskOffset{at}, piece, {}}) ? piece : 0;
        break;
      // Old data would be legal too, but never the parent's (formats.md 2.8).
      case PayloadState::kUndefined:
      case PayloadState::kZero:
      case PayloadState::kUnmapped:
        added = runs.add({Run::Source::kZero, DiskOffset{at}, piece, {}}) ? piece : 0;
        break;
    }
    at += added;
    if (added != piece) break;
  }
  return at - range.at.bytes;
}

Result<std::uint64_t> VhdxImage::allocated_bytes() {
  if (writer_) {
    if (const auto known = writer_->allocated_bytes()) return *known;
  }
  return count_allocated_bytes(*file_, bat_region_, bat_.rules());
}

Result<WriteTicket> VhdxImage::resolve_write(DiskRange range, RunList& runs) {
  return writer_ ? writer_->resolve(range, runs) : Image::resolve_write(range, runs);
}

Status VhdxImage::discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) {
  return writer_ ? writer_->discard(range, keep_space, rest) : Image::discard(range, keep_space, rest);
}

Status VhdxImage::flush() { return writer_ ? writer_->flush() : Status{}; }
Status VhdxImage::close() { return writer_ ? writer_->close() : Status{}; }
Status VhdxImage::keep_intents(IntentMemory& memory) {
  return writer_ ? writer_->keep_intents(memory) : Image::keep_intents(memory);
}

Result<std::unique_ptr<Image>> open_image(std::unique_ptr<File> file, const ImageOpen& options) {
  Parsed parsed;
  VDISK_TRY(parse_before_log(*file, parsed));
  if (!parsed.headers.current.log_guid.is_zero()) {
    if (options.writable) {
      VDISK_TRY(replay_log(*file, parsed.log(), options));
      parsed = {};
      VDISK_TRY(parse_before_log(*file, parsed));
    } else {
      file = VDISK_TRY(overlay_log(std::move(file), parsed.log(), options));
    }
    parsed.dirty_log = true;
  }
  VDISK_TRY(parse_behind_log(*file, parsed));
  const std::uint64_t file_bytes = VDISK_TRY(file->size());
  BatRules rules(parsed.geometry(), OccupiedSpace(parsed.headers.current, parsed.regions.regions), file_bytes,
                 file->name());
  if (rules.geometry().entry_count * kBatEntryBytes <= kJudgedAtOpenBytes) {
    VDISK_TRY(judge_small_bat(*file, *parsed.regions.bat, rules));
  }
  return std::make_unique<VhdxImage>(std::move(file), std::move(parsed), std::move(rules), file_bytes,
                                     options);
}

}  // namespace vdisk::vhdx
