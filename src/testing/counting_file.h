// SPDX-License-Identifier: Apache-2.0
//
// Counts what a file is asked for. Counts may gate a test where times may not.
#pragma once

#include <atomic>
#include <memory>

#include "io/file.h"

namespace vdisk::testing {

struct IoCounts {
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> bytes_read{0};
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint64_t> bytes_written{0};
  std::atomic<std::uint64_t> flushes{0};
  std::atomic<std::uint64_t> resizes{0};
};

/// Passes everything on to `below`; `counts` outlives it.
class CountingFile final : public File {
 public:
  CountingFile(std::unique_ptr<File> below, IoCounts& counts) : below_(std::move(below)), counts_(counts) {}

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override;
  Result<std::uint64_t> size() override { return below_->size(); }
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override { return below_->zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_->punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_->next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_->next_hole(from); }
  int fd() const noexcept override { return below_->fd(); }
  bool writable() const noexcept override { return below_->writable(); }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  std::unique_ptr<File> below_;
  IoCounts& counts_;
};

}  // namespace vdisk::testing
