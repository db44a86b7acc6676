// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/bulk.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/crc32c.h"
#include "format/ascending_table.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/create.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

namespace {

/// Blocks and bitmap blocks one behind the other behind the BAT (formats.md 2.13). What is known of a block
/// is final once the next one is begun; what is known of a chunk's bitmap, once the next chunk is.
class BlockBulkWriter final : public BulkWriter {
 public:
  BlockBulkWriter(File& file, const CreateSpec& spec)
      : file_(file),
        geometry_(BatGeometry::of(spec.virtual_size_bytes, spec.block_bytes, spec.logical_sector_bytes,
                                  spec.type == DiskType::kDifferencing)),
        bat_(file, FileOffset{bat_begins_at()}, geometry_.entry_count * kBatEntryBytes, std::byte{0}),
        next_(blocks_begin_at(spec)) {}

  Status place(DiskRange range, std::vector<Placement>& places) override {
    return each_block(range, [&](std::uint64_t in_block, DiskRange piece) {
      places.push_back({piece, FileOffset{place_of_block() + in_block}});
    });
  }

  Status place_zeros(DiskRange range) override {
    if (!geometry_.differencing) return {};
    return each_block(range, [](std::uint64_t, DiskRange) {});
  }

  Status finish() override {
    VDISK_TRY(leave_block());
    VDISK_TRY(leave_chunk());
    VDISK_TRY(bat_.finish());
    return file_.resize(next_);
  }

 private:
  template <class Visit>
  Status each_block(DiskRange range, Visit&& visit) {
    while (range.length > 0) {
      const std::uint64_t in_block = range.at.bytes % geometry_.block_bytes;
      const std::uint64_t piece = std::min(range.length, geometry_.block_bytes - in_block);
      VDISK_TRY(enter(range.at.bytes >> geometry_.block_shift));
      mark(in_block, piece);
      visit(in_block, DiskRange{range.at, piece});
      range.at.bytes += piece;
      range.length -= piece;
    }
    return {};
  }

  Status enter(std::uint64_t block) {
    if (block_ == block) return {};
    VDISK_TRY(leave_block());
    const std::uint64_t chunk = block >> geometry_.ratio_shift;
    if (chunk_ != chunk) VDISK_TRY(leave_chunk());
    chunk_ = chunk;
    block_ = block;
    own_bytes_ = 0;
    place_ = 0;
    return {};
  }

  std::uint64_t place_of_block() {
    if (place_ == 0) {
      place_ = next_;
      next_ += geometry_.block_bytes;
    }
    return place_;
  }

  /// First bit of the block at hand in its chunk's bitmap.
  std::uint64_t first_bit() const {
    return (*block_ & (geometry_.chunk_ratio() - 1)) << (geometry_.block_shift - geometry_.sector_shift);
  }

  void mark(std::uint64_t at, std::uint64_t length) {
    own_bytes_ += length;
    if (!geometry_.differencing) return;
    if (bitmap_.empty()) bitmap_.resize(kBitmapBlockBytes);
    const std::uint64_t end = first_bit() + ((at + length) >> geometry_.sector_shift);
    for (std::uint64_t bit = first_bit() + (at >> geometry_.sector_shift); bit < end; ++bit) {
      bitmap_[bit / 8] |= std::byte{1} << (bit % 8);
    }
  }

  Status leave_block() {
    if (!block_) return {};
    const std::uint64_t begin = *block_ << geometry_.block_shift;
    const bool whole =
        own_bytes_ == std::min<std::uint64_t>(geometry_.block_bytes, geometry_.disk_bytes - begin);
    PayloadState state = PayloadState::kFullyPresent;
    if (geometry_.differencing && whole && place_ == 0) {
      state = PayloadState::kZero;
    } else if (geometry_.differencing && !whole) {
      state = PayloadState::kPartiallyPresent;
      chunk_has_partial_ = true;
    }
    if (state != PayloadState::kZero) static_cast<void>(place_of_block());
    VDISK_TRY(set_entry(geometry_.payload_index(*block_), place_ | std::to_underlying(state)));
    block_.reset();
    return {};
  }

  Status leave_chunk() {
    if (!chunk_) return {};
    if (chunk_has_partial_) {
      constexpr std::uint64_t kPage = AscendingTable::kPageBytes;
      for (std::uint64_t at = 0; at < bitmap_.size(); at += kPage) {
        const auto page = std::span(bitmap_).subspan(at, kPage);
        if (!is_all_zero(page)) VDISK_TRY(file_.write(FileOffset{next_ + at}, page));
      }
      VDISK_TRY(
          set_entry(geometry_.bitmap_index(*chunk_), next_ | std::to_underlying(BitmapState::kPresent)));
      next_ += kBitmapBlockBytes;
    }
    bitmap_.clear();
    chunk_has_partial_ = false;
    chunk_.reset();
    return {};
  }

  Status set_entry(std::uint64_t index, std::uint64_t value) {
    return bat_.set(index * kBatEntryBytes, bytes_of(Le<std::uint64_t>(value)));
  }

  File& file_;
  const BatGeometry geometry_;
  AscendingTable bat_;
  std::uint64_t next_;  // where the next block goes
  std::optional<std::uint64_t> block_;
  std::uint64_t own_bytes_ = 0;  // of block_
  std::uint64_t place_ = 0;      // of block_; 0 if it has none yet
  std::optional<std::uint64_t> chunk_;
  bool chunk_has_partial_ = false;
  std::vector<std::byte> bitmap_;  // of chunk_; empty if nothing is marked
};

}  // namespace

Result<std::unique_ptr<BulkWriter>> begin_bulk(File& file, const CreateSpec& spec,
                                               const OperationControl& control) {
  VDISK_TRY(write_structures(file, spec, false, control));
  if (spec.type == DiskType::kFixed) {
    return std::make_unique<DirectBulkWriter>(FileOffset{blocks_begin_at(spec)});
  }
  return std::make_unique<BlockBulkWriter>(file, spec);
}

}  // namespace vdisk::vhdx
