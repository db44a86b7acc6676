// SPDX-License-Identifier: Apache-2.0
//
// An open VHDX file: where each byte of its disk lies.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "format/image.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/parse.h"
#include "format/vhdx/sector_bitmap.h"
#include "format/vhdx/write.h"

namespace vdisk::vhdx {

/// Payload bytes that the file holds: whole blocks in the states fully and partially present, the last one as
/// far as the disk reaches.
Result<std::uint64_t> count_allocated_bytes(File& file, const Region& bat, const BatRules& rules);

class VhdxImage final : public Image {
 public:
  VhdxImage(std::unique_ptr<File> file, Parsed parsed, BatRules rules, std::uint64_t file_bytes,
            const ImageOpen& options);

  const Format& format() const noexcept override;
  const ImageProperties& properties() const noexcept override { return properties_; }
  File& file() const noexcept override { return *file_; }
  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override;
  Result<std::uint64_t> allocated_bytes() override;
  Result<WriteTicket> resolve_write(DiskRange range, RunList& runs) override;
  Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) override;
  Status flush() override;
  Status close() override;
  Status keep_intents(IntentMemory& memory) override;

 private:
  Result<std::uint64_t> end_of_unused(std::uint64_t index, std::uint64_t end);
  std::uint64_t add_file_run(std::uint64_t at, std::uint64_t length, std::uint64_t from, RunList& runs) const;
  Result<std::uint64_t> add_partial_block(std::uint64_t at, std::uint64_t end, std::uint64_t from,
                                          RunList& runs);

  const std::unique_ptr<File> file_;
  const Region bat_region_;
  std::atomic<std::uint64_t> file_bytes_;
  const Run::Source absent_;  ///< What a block that is not present shows.
  ImageProperties properties_;
  Bat bat_;
  std::optional<SectorBitmaps> bitmaps_;  ///< Of differencing disks.
  std::optional<Writer> writer_;          ///< If opened writable.
};

Result<std::unique_ptr<Image>> open_image(std::unique_ptr<File> file, const ImageOpen& options);

}  // namespace vdisk::vhdx
