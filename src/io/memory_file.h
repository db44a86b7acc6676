// SPDX-License-Identifier: Apache-2.0
//
// A file in memory: the second first-class implementation of the storage seam. Holds only the 64 KiB pages that
// were written, so that a 64 TiB image costs what it stores.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "io/file.h"

namespace vdisk {

class MemoryFile final : public File {
 public:
  explicit MemoryFile(std::string name = "memory", bool writable = true);
  /// A file whose content is `bytes`.
  MemoryFile(std::span<const std::byte> bytes, std::string name = "memory", bool writable = true);

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override { return {}; }
  Result<std::uint64_t> size() override;
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override;
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override;
  Result<FileOffset> next_hole(FileOffset from) override;
  bool writable() const noexcept override { return writable_; }
  Result<FileIdentity> identity() override;
  const std::string& name() const noexcept override { return name_; }

  static constexpr std::uint64_t kPageBytes = 64 * 1024;

 private:
  using Page = std::vector<std::byte>;
  void clear_range(std::uint64_t at, std::uint64_t end) VDISK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::uint64_t, Page> pages_ VDISK_GUARDED_BY(mutex_);  // by page number; absent pages are zeros
  std::uint64_t size_ VDISK_GUARDED_BY(mutex_) = 0;
  const std::string name_;
  const bool writable_;
  const std::uint64_t serial_;
};

}  // namespace vdisk
