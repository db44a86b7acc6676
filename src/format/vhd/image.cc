// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/image.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "format/vhd/faults.h"
#include "format/vhd/vhd.h"

namespace vdisk::vhd {

Result<std::unique_ptr<Image>> VhdImage::open(std::unique_ptr<File> file, const ImageOpen& options) {
  std::unique_ptr<VhdImage> image(new VhdImage(std::move(file)));
  Parsed& parsed = image->parsed_;
  VDISK_TRY(parse(*image->file_, parsed));
  if (!parsed.fixed()) {
    image->table_ = VDISK_TRY(BlockTable::load(*image->file_, parsed, options.limits));
    const std::uint32_t block_bytes = parsed.properties.geometry.block_bytes;
    image->block_shift_ = static_cast<std::uint32_t>(std::countr_zero(block_bytes));
    image->bitmaps_ = std::make_unique<BlockBitmaps>(*image->file_, parsed.block_count,
                                                     block_bytes / kSectorBytes, options.limits.table_bytes);
    if (parsed.properties.type == DiskType::kDifferencing) image->blank_ = Run::Source::kParent;
  }
  if (options.writable && parsed.read_only_fault != nullptr) {
    return fail(*parsed.read_only_fault, "{}: cannot be opened for writing: {}", image->file_->name(),
                parsed.read_only_reason);
  }
  if (options.trace) {
    for (const std::string& note : parsed.properties.notes) {
      options.trace(TraceLevel::kNote, fmt::format("{}: {}", image->file_->name(), note));
    }
  }
  return image;
}

const Format& VhdImage::format() const noexcept { return kFormat; }

Result<std::uint64_t> VhdImage::resolve_read(DiskRange range, RunList& runs) {
  runs.clear();
  if (table_ == nullptr) {
    runs.add({Run::Source::kFile, range.at, range.length, FileOffset{range.at.bytes}});
    return range.length;
  }
  std::uint64_t at = range.at.bytes;
  while (at < range.end()) {
    const std::uint64_t block = at >> block_shift_;
    const std::uint64_t end = std::min((block + 1) << block_shift_, range.end());
    const std::uint32_t sector = VDISK_TRY(table_->entry(block));
    if (sector == kUnallocated) {
      if (!runs.add(blank(at, end - at))) break;
    } else if (!VDISK_TRY(add_block(block, sector, at, end, runs))) {
      return runs.back().end() - range.at.bytes;
    }
    at = end;
  }
  return at - range.at.bytes;
}

Result<bool> VhdImage::add_block(std::uint64_t block, std::uint32_t sector, std::uint64_t at,
                                 std::uint64_t end, RunList& runs) {
  const std::uint64_t start = block << block_shift_;
  const std::uint64_t block_end =
      std::min((block + 1) << block_shift_, parsed_.properties.geometry.virtual_size_bytes);
  const FileOffset bitmap_at{std::uint64_t{sector} * kSectorBytes};
  const std::uint64_t data_at = bitmap_at.bytes + parsed_.bitmap_bytes;
  const SectorBitmap bitmap = VDISK_TRY(
      bitmaps_->get(block, bitmap_at, static_cast<std::uint32_t>((block_end - start) / kSectorBytes)));
  const auto in_file = [&](std::uint64_t from, std::uint64_t to) {
    return Run{Run::Source::kFile, DiskOffset{from}, to - from, FileOffset{data_at + (from - start)}};
  };
  if (bitmap.kind() == SectorBitmap::Kind::kAllSet) [[likely]]
    return runs.add(in_file(at, end));
  if (bitmap.kind() == SectorBitmap::Kind::kAllClear) return runs.add(blank(at, end - at));

  const auto sector_end = static_cast<std::uint32_t>(divide_up(end - start, kSectorBytes));
  while (at < end) {
    const auto first = static_cast<std::uint32_t>((at - start) / kSectorBytes);
    const std::uint64_t same_end =
        start + std::uint64_t{first + bitmap.run(first, sector_end)} * kSectorBytes;
    const std::uint64_t next = std::min(same_end, end);
    if (!runs.add(bitmap.bit(first) ? in_file(at, next) : blank(at, next - at))) return false;
    at = next;
  }
  return true;
}

Result<std::uint64_t> VhdImage::allocated_bytes() {
  const DiskGeometry& geometry = parsed_.properties.geometry;
  if (table_ == nullptr) return geometry.virtual_size_bytes;
  const std::uint64_t blocks = VDISK_TRY(table_->allocated_blocks(parsed_.block_count));
  return blocks * geometry.block_bytes;
}

}  // namespace vdisk::vhd
