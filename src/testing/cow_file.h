// SPDX-License-Identifier: Apache-2.0
//
// A writable file over a base that it never changes: how tests make thousands of variants of one image.
// Making one costs nothing; it keeps only the 4 KiB pages that were written to it. Bases may themselves be
// CowFiles.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "io/file.h"

namespace vdisk::testing {

/// Thread rule: as every File. The base must not change while a CowFile stands on it.
class CowFile final : public File {
 public:
  /// REQUIRES: the base can say its size.
  explicit CowFile(std::shared_ptr<File> base);

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override { return {}; }
  Result<std::uint64_t> size() override;
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override { return punch(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override;
  Result<FileOffset> next_hole(FileOffset from) override;
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return base_->identity(); }
  const std::string& name() const noexcept override { return base_->name(); }

  static constexpr std::uint64_t kPageBytes = 4096;

 private:
  using Page = std::array<std::byte, kPageBytes>;

  /// Fills `into` with what the base shows through the masks; zeros past its end.
  Status read_below(std::uint64_t at, std::span<std::byte> into) VDISK_REQUIRES(mutex_);
  Result<Page*> own_page(std::uint64_t number) VDISK_REQUIRES(mutex_);
  /// The range reads as zeros from now on.
  Status clear(std::uint64_t at, std::uint64_t end) VDISK_REQUIRES(mutex_);
  Status clear_part(std::uint64_t at, std::uint64_t end) VDISK_REQUIRES(mutex_);
  /// The end of the mask that covers `at`, or `at`.
  std::uint64_t mask_end(std::uint64_t at) const VDISK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  const std::shared_ptr<File> base_;
  std::uint64_t base_size_ VDISK_GUARDED_BY(mutex_) = 0;
  std::uint64_t size_ VDISK_GUARDED_BY(mutex_) = 0;
  std::map<std::uint64_t, Page> pages_ VDISK_GUARDED_BY(mutex_);
  /// Ranges [first, second) of whole pages in which the base no longer shows; disjoint. Pages lie above them.
  std::map<std::uint64_t, std::uint64_t> masks_ VDISK_GUARDED_BY(mutex_);
};

}  // namespace vdisk::testing
