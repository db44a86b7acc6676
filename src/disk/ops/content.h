// SPDX-License-Identifier: Apache-2.0
//
// The content of a disk on its way out: where it can go, and the loop that carries it there.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::ops {

/// Reads and writes go in pieces of this size; cancellation is looked at between them.
inline constexpr std::size_t kChunkBytes = 2 * 1024 * 1024;

/// Page-aligned memory for payload.
class ChunkBuffer {
 public:
  static Result<ChunkBuffer> allocate(std::size_t bytes = kChunkBytes);
  std::span<std::byte> bytes() const noexcept { return {memory_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0;
};

/// Calls a progress sink at most five times a second, and always at the end.
class ProgressMeter {
 public:
  ProgressMeter(const OperationControl& control, std::uint64_t total);
  void advance(std::uint64_t done);

 private:
  const OperationControl& control_;
  std::uint64_t total_;
  std::uint64_t next_nanoseconds_ = 0;
};

/// base.cancelled, once the caller asked for it.
Status check_cancelled(const OperationControl& control, std::string_view what);

/// Takes a disk's bytes in order, from the first to the last.
class ContentSink {
 public:
  virtual ~ContentSink() = default;
  /// The next bytes.
  virtual Status data(std::span<const std::byte> bytes) = 0;
  /// The next `length` bytes are zeros; at most kChunkBytes at a time when `chunked()`.
  virtual Status zeros(std::uint64_t length) = 0;
  /// True when zeros take time, so that they must come in pieces between which cancellation is looked at.
  virtual bool chunked() const noexcept = 0;
};

/// Leaves zeros as holes in a new, empty file. Thread rule: one thread. Owner of the file: the caller.
class SparseSink final : public ContentSink {
 public:
  explicit SparseSink(File& file) : file_(file) {}
  Status data(std::span<const std::byte> bytes) override;
  Status zeros(std::uint64_t length) override;
  bool chunked() const noexcept override { return false; }

 private:
  File& file_;
  std::uint64_t at_ = 0;
};

/// Writes every byte, zeros too, to a descriptor that need not be seekable.
class StreamSink final : public ContentSink {
 public:
  StreamSink(int fd, const OperationControl& control) : fd_(fd), control_(control) {}
  Status data(std::span<const std::byte> bytes) override;
  Status zeros(std::uint64_t length) override;
  bool chunked() const noexcept override { return true; }

 private:
  Status wait_writable() const;
  int fd_;
  const OperationControl& control_;
};

/// Walks a disk's extents from its beginning, also cutting them at the holes of the files behind them: a
/// sparse fixed disk costs no reading where its file has no data. Thread rule: one thread.
class ExtentWalk {
 public:
  /// Of [0, end). REQUIRES: `end` is at most the disk's size.
  ExtentWalk(const Disk& disk, std::uint64_t end) : disk_(disk), end_(end) {}

  /// The extent that holds `at`, a part of it that ends no later. REQUIRES: at < end; `at` never moves back.
  Result<Extent> find(std::uint64_t at);

 private:
  Result<Extent> cut_at_hole(Extent extent) const;

  const Disk& disk_;
  const std::uint64_t end_;
  std::vector<Extent> extents_;
  std::size_t next_ = 0;
  Extent part_;
};

/// Carries the whole content of `source` into `sink`.
Status copy_content(const Disk& source, ContentSink& sink, const OperationControl& control);

/// Sizes `target`, fills it with the content of `source` and flushes it.
Status fill_raw_file(const Disk& source, File& target, const OperationControl& control);

}  // namespace vdisk::ops
