// SPDX-License-Identifier: Apache-2.0
//
// One open VHD: maps ranges of the disk to the file, to zeros or to the parent.
#pragma once

#include <memory>

#include "format/image.h"
#include "format/vhd/block_bitmaps.h"
#include "format/vhd/block_table.h"
#include "format/vhd/parse.h"
#include "format/vhd/write.h"

namespace vdisk::vhd {

class VhdImage final : public Image {
 public:
  static Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen& options) {
    return open_growing(std::move(file), options, {});
  }
  static Result<std::unique_ptr<Image>> open_growing(std::unique_ptr<File> file, const ImageOpen& options,
                                                     const Growth& growth);

  const Format& format() const noexcept override;
  const ImageProperties& properties() const noexcept override { return parsed_.properties; }
  File& file() const noexcept override { return *file_; }
  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override;
  Result<std::uint64_t> allocated_bytes() override;
  Result<WriteTicket> resolve_write(DiskRange range, RunList& runs) override;
  Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) override;
  Status flush() override { return writer_ ? writer_->flush() : Status(); }
  Status close() override { return writer_ ? writer_->close() : Status(); }
  Status keep_intents(IntentMemory& memory) override {
    return writer_ ? writer_->keep_intents(memory) : Image::keep_intents(memory);
  }

 private:
  VhdImage(std::unique_ptr<File> file, const Limits& limits) : file_(std::move(file)), limits_(limits) {}

  Run blank(std::uint64_t at, std::uint64_t length) const noexcept {
    return {blank_, DiskOffset{at}, length, FileOffset{}};
  }
  /// The bitmap of the block, and in `sector` where it lies (kUnallocated where it does not, any more).
  Result<SectorBitmap> bitmap_of(std::uint64_t block, std::uint32_t& sector);
  /// Adds the runs of [at, end), which lies in the one block; false when the list is full.
  Result<bool> add_block(std::uint64_t block, std::uint64_t at, std::uint64_t end, RunList& runs);

  std::unique_ptr<File> file_;
  const Limits limits_;
  Parsed parsed_;
  std::unique_ptr<BlockTable> table_;      // unset in fixed images
  std::unique_ptr<BlockBitmaps> bitmaps_;  // likewise
  std::unique_ptr<Writer> writer_;         // set where opened writable
  std::uint32_t block_shift_ = 0;
  Run::Source blank_ = Run::Source::kZero;  // what a sector that is not in this file shows
};

}  // namespace vdisk::vhd
