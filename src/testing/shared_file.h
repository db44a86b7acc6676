// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "io/file.h"

namespace vdisk::testing {

/// Keeps a file that an image or an operation owns readable after its owner has gone.
class SharedFile final : public File {
 public:
  explicit SharedFile(std::shared_ptr<File> below) : below_(std::move(below)) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_->read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override { return below_->write(at, from); }
  Status flush() override { return below_->flush(); }
  Result<std::uint64_t> size() override { return below_->size(); }
  Status resize(std::uint64_t size_bytes) override { return below_->resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return below_->zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_->punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_->next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_->next_hole(from); }
  bool writable() const noexcept override { return below_->writable(); }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  const std::shared_ptr<File> below_;
};

}  // namespace vdisk::testing
