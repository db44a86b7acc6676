// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/file.h"

namespace vdisk::vhdx {

/// A file that someone else owns, for inspect and check, which must not keep theirs: the log's overlay owns
/// the file below it.
class BorrowedFile final : public File {
 public:
  explicit BorrowedFile(File& below) : below_(below) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_.read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override { return below_.write(at, from); }
  Status flush() override { return below_.flush(); }
  Result<std::uint64_t> size() override { return below_.size(); }
  Status resize(std::uint64_t size_bytes) override { return below_.resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return below_.zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_.punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_.next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_.next_hole(from); }
  int fd() const noexcept override { return below_.fd(); }
  bool writable() const noexcept override { return below_.writable(); }
  Result<FileIdentity> identity() override { return below_.identity(); }
  const std::string& name() const noexcept override { return below_.name(); }

 private:
  File& below_;
};

}  // namespace vdisk::vhdx
