// SPDX-License-Identifier: Apache-2.0
//
// The content of a disk on its way out: what it is, in which extents, and a stream to put it into.
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

/// `extent` from `at` on. REQUIRES: `at` lies inside it.
Extent rest_of(Extent extent, std::uint64_t at);

/// The parts of `bytes` that are not zeros, in whole pages from the beginning on; zeros too short to be worth
/// a hole are taken along. Appends ranges that count from `at`.
void find_data(DiskOffset at, std::span<const std::byte> bytes, std::vector<DiskRange>& data);

/// Every byte, zeros too, to a pipe or whatever `fd` is. Thread rule: one thread.
class StreamSink {
 public:
  StreamSink(int fd, const OperationControl& control) : fd_(fd), control_(control) {}
  Status data(std::span<const std::byte> bytes);
  Status zeros(std::uint64_t length);

 private:
  void wait_writable() const;
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
  Result<Extent> cut_at_hole(Extent extent);

  const Disk& disk_;
  const std::uint64_t end_;
  std::vector<Extent> extents_;
  std::size_t next_ = 0;
  Extent part_;
  // Where the file system last said that there is no hole. Blocks that do not touch would else each make it look again
  // through all that follows.
  std::uint32_t data_layer_ = 0;
  std::uint64_t data_begin_ = 0;
  std::uint64_t data_end_ = 0;
};

/// Bytes that a target is to have in place of the source's.
struct Patch {
  DiskOffset at;
  std::vector<std::byte> bytes;
  std::uint64_t end() const noexcept { return at.bytes + bytes.size(); }
};

/// What a target is to show: a disk, zeros behind its end, patches over both. Thread rule: any number of
/// threads.
class Content {
 public:
  /// REQUIRES: `size` is at least the source's; patches ascend, do not overlap and lie inside.
  Content(const Disk& source, std::uint64_t size, std::vector<Patch> patches)
      : source_(source), size_(size), patches_(std::move(patches)) {}

  const Disk& source() const noexcept { return source_; }
  std::uint64_t size() const noexcept { return size_; }
  const std::vector<Patch>& patches() const noexcept { return patches_; }
  Status read(DiskOffset at, std::span<std::byte> into) const;

 private:
  const Disk& source_;
  const std::uint64_t size_;
  const std::vector<Patch> patches_;
};

/// The layer of an extent whose bytes lie in no file: patches.
inline constexpr std::uint32_t kNoLayer = ~std::uint32_t{0};

/// ExtentWalk over a Content. Thread rule: one thread.
class ContentWalk {
 public:
  explicit ContentWalk(const Content& content)
      : content_(content), walk_(content.source(), content.source().geometry().virtual_size_bytes) {}
  /// As ExtentWalk::find, but the extent begins at `at`.
  Result<Extent> find(std::uint64_t at);

 private:
  const Content& content_;
  ExtentWalk walk_;
  std::size_t patch_ = 0;
};

}  // namespace vdisk::ops
