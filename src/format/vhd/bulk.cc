// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/bulk.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "base/checked.h"
#include "format/ascending_table.h"
#include "format/preallocate.h"
#include "format/vhd/create.h"
#include "format/vhd/faults.h"
#include "format/vhd/layout.h"

namespace vdisk::vhd {

namespace {

class FixedBulkWriter final : public DirectBulkWriter {
 public:
  FixedBulkWriter(File& file, const CreateSpec& spec)
      : DirectBulkWriter(FileOffset{0}), file_(file), spec_(spec) {}
  Status finish() override {
    return file_.write(FileOffset{spec_.virtual_size_bytes}, bytes_of(new_footer(spec_)));
  }

 private:
  File& file_;
  const CreateSpec spec_;
};

/// Blocks as Windows lays them: data at multiples of 4 KiB, the bitmap in the sector before
/// (formats.md 1.15).
class BlockBulkWriter final : public BulkWriter {
 public:
  BlockBulkWriter(File& file, const CreateSpec& spec, const Layout& layout)
      : file_(file),
        spec_(spec),
        differencing_(spec.type == DiskType::kDifferencing),
        bitmap_bytes_(round_up(spec.block_bytes / kSectorBytes / 8, kSectorBytes)),
        table_(file, FileOffset{layout.table_at}, layout.block_count * sizeof(std::uint32_t),
               std::byte{0xFF}),
        next_(layout.footer_at) {}

  Status place(DiskRange range, std::vector<Placement>& places) override {
    while (range.length > 0) {
      const std::uint64_t in_block = range.at.bytes % spec_.block_bytes;
      const std::uint64_t piece = std::min(range.length, spec_.block_bytes - in_block);
      VDISK_TRY(enter(range.at.bytes / spec_.block_bytes));
      mark(in_block, piece);
      places.push_back({{range.at, piece}, FileOffset{bitmap_at_ + bitmap_bytes_ + in_block}});
      range.at.bytes += piece;
      range.length -= piece;
    }
    return {};
  }

  // A VHD has no blocks of zeros: the sectors are the child's own, and their space was never written.
  Status place_zeros(DiskRange range) override {
    if (!differencing_) return {};
    std::vector<Placement> unused;
    return place(range, unused);
  }

  Status finish() override {
    VDISK_TRY(leave());
    VDISK_TRY(table_.finish());
    const Footer footer = new_footer(spec_);
    // Short files must read as zeros up to here: the last block need not have been written whole.
    VDISK_TRY(file_.resize(next_ + kFooterBytes));
    VDISK_TRY(file_.write(FileOffset{0}, bytes_of(footer)));
    return file_.write(FileOffset{next_}, bytes_of(footer));
  }

 private:
  Status enter(std::uint64_t block) {
    if (block_ == block) return {};
    VDISK_TRY(leave());
    // The table counts sectors in 32 bits.
    constexpr std::uint64_t kMostSector = kUnallocated - 1;
    if (next_ / kSectorBytes > kMostSector) {
      return fail(faults::kFull,
                  "{}: block {} would lie at {:#x}, where no table entry reaches; make larger blocks",
                  file_.name(), block, next_);
    }
    block_ = block;
    bitmap_at_ = next_;
    // A dynamic disk's bits say no more than the table does: zeros where nothing is written (formats.md 1.6).
    bitmap_.assign(bitmap_bytes_, differencing_ ? std::byte{0} : std::byte{0xFF});
    next_ += bitmap_bytes_ + spec_.block_bytes + (kBeforePageEnd + kSectorBytes - bitmap_bytes_);
    return {};
  }

  void mark(std::uint64_t at, std::uint64_t length) {
    if (!differencing_) return;
    for (std::uint64_t sector = at / kSectorBytes; sector < (at + length) / kSectorBytes; ++sector) {
      bitmap_[sector / 8] |= std::byte{0x80} >> (sector % 8);
    }
  }

  Status leave() {
    if (!block_) return {};
    VDISK_TRY(file_.write(FileOffset{bitmap_at_}, bitmap_));
    const Be<std::uint32_t> sector(static_cast<std::uint32_t>(bitmap_at_ / kSectorBytes));
    VDISK_TRY(table_.set(*block_ * sizeof(std::uint32_t), bytes_of(sector)));
    block_.reset();
    return {};
  }

  File& file_;
  const CreateSpec spec_;
  const bool differencing_;
  const std::uint64_t bitmap_bytes_;
  AscendingTable table_;
  std::uint64_t next_;  // where the next bitmap, or the footer, goes
  std::optional<std::uint64_t> block_;
  std::uint64_t bitmap_at_ = 0;
  std::vector<std::byte> bitmap_;
};

}  // namespace

Result<std::unique_ptr<BulkWriter>> begin_bulk(File& file, const CreateSpec& spec,
                                               const OperationControl& control) {
  VDISK_TRY(stop_if_cancelled(file, control));
  if (spec.type == DiskType::kFixed) {
    VDISK_TRY(file.resize(spec.virtual_size_bytes + kFooterBytes));
    VDISK_TRY(preallocate(file, FileOffset{0}, spec.virtual_size_bytes, spec.preallocation, control));
    return std::make_unique<FixedBulkWriter>(file, spec);
  }
  const Layout layout = VDISK_TRY(write_structures(file, spec, control));
  return std::make_unique<BlockBulkWriter>(file, spec, layout);
}

}  // namespace vdisk::vhd
