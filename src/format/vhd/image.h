// SPDX-License-Identifier: Apache-2.0
//
// One open VHD: maps ranges of the disk to the file, to zeros or to the parent.
#pragma once

#include <memory>

#include "format/image.h"
#include "format/vhd/block_bitmaps.h"
#include "format/vhd/block_table.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

class VhdImage final : public Image {
 public:
  static Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen& options);

  const Format& format() const noexcept override;
  const ImageProperties& properties() const noexcept override { return parsed_.properties; }
  File& file() const noexcept override { return *file_; }
  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override;
  Result<std::uint64_t> allocated_bytes() override;

 private:
  explicit VhdImage(std::unique_ptr<File> file) : file_(std::move(file)) {}

  Run blank(std::uint64_t at, std::uint64_t length) const noexcept {
    return {blank_, DiskOffset{at}, length, FileOffset{}};
  }
  /// Adds the runs of [at, end), which lies in the one allocated block at `sector`; false when the list is
  /// full.
  Result<bool> add_block(std::uint64_t block, std::uint32_t sector, std::uint64_t at, std::uint64_t end,
                         RunList& runs);

  std::unique_ptr<File> file_;
  Parsed parsed_;
  std::unique_ptr<BlockTable> table_;      // unset in fixed images
  std::unique_ptr<BlockBitmaps> bitmaps_;  // likewise
  std::uint32_t block_shift_ = 0;
  Run::Source blank_ = Run::Source::kZero;  // what a sector that is not in this file shows
};

}  // namespace vdisk::vhd
