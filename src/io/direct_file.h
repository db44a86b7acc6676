// SPDX-License-Identifier: Apache-2.0
//
// A file that bypasses the page cache. The kernel moves whole units there (512 bytes, or 4096), from and to
// memory that is aligned to them. What is aligned goes straight through; the rest, small metadata as a rule,
// through aligned memory of our own, and a write of a part of a unit reads the unit first.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/sector_gate.h"
#include "io/file.h"

namespace vdisk {

class DirectFile final : public File {
 public:
  /// REQUIRES: `unit_bytes` is a power of two from 512 to 4096; `below` needs no more alignment than that,
  /// keeps what it has at the end of the file if that lies within a unit, and reads it when asked for the
  /// whole unit.
  DirectFile(std::unique_ptr<File> below, std::uint32_t unit_bytes);
  ~DirectFile() override;

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  /// A file that ends within a unit is longer for a moment while its end is written: zeros behind it, which a
  /// power cut in that moment leaves there.
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override { return below_->flush(); }
  Result<std::uint64_t> size() override { return below_->size(); }
  Status resize(std::uint64_t size_bytes) override { return below_->resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override;
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override { return below_->next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_->next_hole(from); }
  int fd() const noexcept override { return below_->fd(); }
  std::uint32_t fd_unit_bytes() const noexcept override { return unit_bytes_; }
  bool writable() const noexcept override { return below_->writable(); }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  class Bounce;
  struct Memory;

  bool aligned(FileOffset at, std::span<const std::byte> bytes) const noexcept;
  Status write_piece(FileOffset at, std::span<const std::byte> from, Bounce& bounce);
  Status write_through(FileOffset at, std::span<const std::byte> from);
  Status clear(FileOffset at, std::uint64_t length, Status (File::*how)(FileOffset, std::uint64_t));

  const std::unique_ptr<File> below_;
  const std::uint32_t unit_bytes_;
  SectorGate gate_;  ///< Whole units side by side, parts of units alone.

  Mutex mutex_;
  std::vector<std::unique_ptr<Memory>> idle_ VDISK_GUARDED_BY(mutex_);
};

}  // namespace vdisk
