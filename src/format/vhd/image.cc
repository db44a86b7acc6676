// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/image.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "format/vhd/faults.h"
#include "format/vhd/vhd.h"

namespace vdisk::vhd {

Result<std::unique_ptr<Image>> VhdImage::open_growing(std::unique_ptr<File> file, const ImageOpen& options,
                                                      const Growth& growth) {
  std::unique_ptr<VhdImage> image(new VhdImage(std::move(file), options.limits));
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
  if (options.writable) {
    image->writer_ =
        std::make_unique<Writer>(Writer::Parts{*image->file_, parsed, image->table_.get(),
                                               image->bitmaps_.get(), image->io_gate(), image->limits_},
                                 growth);
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
    if (!VDISK_TRY(add_block(block, at, end, runs))) return runs.back().end() - range.at.bytes;
    at = end;
  }
  return at - range.at.bytes;
}

Result<SectorBitmap> VhdImage::bitmap_of(std::uint64_t block, std::uint32_t& sector) {
  const std::uint64_t start = block << block_shift_;
  const std::uint64_t end =
      std::min((block + 1) << block_shift_, parsed_.properties.geometry.virtual_size_bytes);
  for (;;) {
    if (sector == kUnallocated) return SectorBitmap(SectorBitmap::Kind::kAllClear, nullptr);
    const SectorBitmap bitmap =
        VDISK_TRY(bitmaps_->get(block, FileOffset{std::uint64_t{sector} * kSectorBytes},
                                static_cast<std::uint32_t>((end - start) / kSectorBytes)));
    // A block that is freed loses its entry before its bitmap, and one that is made gets its bitmap before
    // its entry: with the entry as before, the bitmap was the block's there.
    const std::uint32_t again = VDISK_TRY(table_->entry(block));
    if (again == sector) return bitmap;
    sector = again;
  }
}

Result<bool> VhdImage::add_block(std::uint64_t block, std::uint64_t at, std::uint64_t end, RunList& runs) {
  std::uint32_t sector = VDISK_TRY(table_->entry(block));
  const SectorBitmap bitmap = VDISK_TRY(bitmap_of(block, sector));
  const std::uint64_t start = block << block_shift_;
  const std::uint64_t data_at = std::uint64_t{sector} * kSectorBytes + parsed_.bitmap_bytes;
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

Result<WriteTicket> VhdImage::resolve_write(DiskRange range, RunList& runs) {
  return writer_ ? writer_->resolve(range, runs) : Image::resolve_write(range, runs);
}

Status VhdImage::discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) {
  return writer_ ? writer_->discard(range, keep_space, rest) : Image::discard(range, keep_space, rest);
}

Result<std::uint64_t> VhdImage::allocated_bytes() {
  const DiskGeometry& geometry = parsed_.properties.geometry;
  if (table_ == nullptr) return geometry.virtual_size_bytes;
  const std::uint64_t blocks = VDISK_TRY(table_->allocated_blocks(parsed_.block_count));
  return blocks * geometry.block_bytes;
}

}  // namespace vdisk::vhd
