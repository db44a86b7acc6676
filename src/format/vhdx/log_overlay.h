// SPDX-License-Identifier: Apache-2.0
//
// A file as it will be after its log is replayed, for read-only opens: the log changes region tables,
// metadata and BAT, so the overlay lies below the parser (formats.md 2.7).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "format/vhdx/log_content.h"

namespace vdisk::vhdx {

/// Thread rule: as every File; nothing in it changes. Reads that touch none of the log's places, which are
/// those of payload, go straight to the file below.
class LogOverlay final : public File {
 public:
  LogOverlay(std::unique_ptr<File> below, LogContent content);

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override { return {}; }
  Result<std::uint64_t> size() override { return size_; }
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override;
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override;
  Result<FileOffset> next_hole(FileOffset from) override;
  bool writable() const noexcept override { return false; }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  struct Range {
    std::uint64_t at = 0;
    std::uint64_t end = 0;
  };

  bool touches(std::uint64_t at, std::uint64_t end) const noexcept;
  std::size_t first_page_after(std::uint64_t at) const noexcept;
  std::size_t first_zeros_after(std::uint64_t at) const noexcept;
  std::unexpected<Error> refuse(const char* what) const;

  const std::unique_ptr<File> below_;
  const std::uint64_t below_size_;
  const std::uint64_t size_;
  // Sorted, and apart from the pages' bytes so that searching stays in the cache.
  std::vector<std::uint64_t> page_at_;
  std::vector<std::unique_ptr<LogPage>> pages_;
  std::vector<Range> zeros_;
};

}  // namespace vdisk::vhdx
