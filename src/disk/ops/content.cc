// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/content.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/checked.h"
#include "base/crc32c.h"
#include "disk/impl.h"
#include "disk/ops/faults.h"
#include "io/faults.h"

namespace vdisk::ops {

namespace {

constexpr std::size_t kPageBytes = 4096;
// Zeros shorter than this are written with the data around them: one long write beats two short ones and a
// hole that saves little.
constexpr std::size_t kShortestHoleBytes = 32 * 1024;
// Asking the file system for holes pays only where much might not have to be read.
constexpr std::uint64_t kShortestQuestionBytes = kMiB;
constexpr std::uint64_t kProgressPeriodNanoseconds = 200'000'000;

std::uint64_t monotonic_nanoseconds() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

/// Length of the pages at the beginning of `bytes` that are all zero (`zero`), or that are not.
std::size_t page_run(std::span<const std::byte> bytes, bool zero) noexcept {
  std::size_t length = 0;
  while (length < bytes.size()) {
    const std::size_t page = std::min(kPageBytes, bytes.size() - length);
    if (is_all_zero(bytes.subspan(length, page)) != zero) break;
    length += page;
  }
  return length;
}

}  // namespace

void ChunkBuffer::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

Result<ChunkBuffer> ChunkBuffer::allocate(std::size_t bytes) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, kPageBytes, bytes) != 0) {
    return fail(vdisk::faults::kMemory, "no memory for a buffer of {} bytes", bytes);
  }
  ChunkBuffer buffer;
  buffer.memory_.reset(static_cast<std::byte*>(memory));
  buffer.size_ = bytes;
  return buffer;
}

ProgressMeter::ProgressMeter(const OperationControl& control, std::uint64_t total)
    : control_(control), total_(total) {}

void ProgressMeter::advance(std::uint64_t done) {
  if (!control_.progress) return;
  const std::uint64_t now = monotonic_nanoseconds();
  if (done < total_ && now < next_nanoseconds_) return;
  next_nanoseconds_ = now + kProgressPeriodNanoseconds;
  control_.progress({done, total_});
}

Status check_cancelled(const OperationControl& control, std::string_view what) {
  if (!control.cancellation.cancelled()) return {};
  return fail(vdisk::faults::kCancelled, "{} was cancelled", what);
}

Status SparseSink::data(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t hole = page_run(bytes, true);
    at_ += hole;
    bytes = bytes.subspan(hole);
    std::size_t length = page_run(bytes, false);
    while (length < bytes.size()) {
      const std::size_t gap = page_run(bytes.subspan(length), true);
      if (gap >= kShortestHoleBytes || length + gap == bytes.size()) break;
      length += gap;
      length += page_run(bytes.subspan(length), false);
    }
    if (length != 0) VDISK_TRY(file_.write(FileOffset{at_}, bytes.first(length)));
    at_ += length;
    bytes = bytes.subspan(length);
  }
  return {};
}

Status SparseSink::zeros(std::uint64_t length) {
  at_ += length;
  return {};
}

Status StreamSink::wait_writable() const {
  VDISK_TRY(check_cancelled(control_, "writing to standard output"));
  pollfd poll{fd_, POLLOUT, 0};
  ::poll(&poll, 1, 200);  // A timeout only looks at the cancellation again.
  return {};
}

Status StreamSink::data(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      continue;
    }
    if (errno == EINTR) {
      VDISK_TRY(check_cancelled(control_, "writing to standard output"));
    } else if (errno == EAGAIN) {
      VDISK_TRY(wait_writable());
    } else if (errno == EPIPE) {
      return fail_errno(faults::kPipeClosed, errno, "standard output");
    } else {
      return fail_errno(io::faults::fault_for_errno(errno), errno, "writing to standard output");
    }
  }
  return {};
}

Status StreamSink::zeros(std::uint64_t length) {
  static constexpr std::array<std::byte, 256 * kKiB> kZeros{};
  while (length != 0) {
    const std::size_t piece = std::min<std::uint64_t>(length, kZeros.size());
    VDISK_TRY(data(std::span(kZeros).first(piece)));
    length -= piece;
  }
  return {};
}

Result<Extent> ExtentWalk::find(std::uint64_t at) {
  if (at < part_.range.end() && part_.range.length != 0) return part_;
  while (next_ < extents_.size() && extents_[next_].range.end() <= at) ++next_;
  if (next_ == extents_.size()) {
    extents_.clear();
    next_ = 0;
    VDISK_TRY(disk_.extents({{at}, end_ - at}, extents_));
  }
  Extent rest = extents_[next_];
  const std::uint64_t skipped = at - rest.range.at.bytes;
  rest.range = {{at}, rest.range.length - skipped};
  rest.from.bytes += skipped;
  part_ = VDISK_TRY(cut_at_hole(rest));
  return part_;
}

Result<Extent> ExtentWalk::cut_at_hole(Extent extent) const {
  if (extent.source != Extent::Source::kData || extent.range.length < kShortestQuestionBytes) return extent;
  File& file = disk_.impl().chain.layer(extent.layer).image->file();
  const std::uint64_t data = VDISK_TRY(file.next_data(extent.from)).bytes;
  const std::uint64_t most = extent.range.length;
  if (data > extent.from.bytes) {
    // Where the file ends early there is no hole but a fault, for which reading has the words.
    if (!fits_within(extent.from.bytes, most, VDISK_TRY(file.size()))) return extent;
    extent.source = Extent::Source::kZero;
    extent.range.length = std::min(most, data - extent.from.bytes);
    return extent;
  }
  const std::uint64_t hole = VDISK_TRY(file.next_hole(extent.from)).bytes;
  if (hole > extent.from.bytes) extent.range.length = std::min(most, hole - extent.from.bytes);
  return extent;
}

Status copy_content(const Disk& source, ContentSink& sink, const OperationControl& control) {
  const std::uint64_t size = source.geometry().virtual_size_bytes;
  const ChunkBuffer buffer = VDISK_TRY(ChunkBuffer::allocate());
  ProgressMeter meter(control, size);
  ExtentWalk walk(source, size);
  std::uint64_t at = 0;
  while (at < size) {
    VDISK_TRY(check_cancelled(control, "the conversion"));
    const Extent extent = VDISK_TRY(walk.find(at));
    std::uint64_t piece = extent.range.end() - at;
    const bool zero = extent.source == Extent::Source::kZero;
    // Up to the next multiple of the chunk, so that later reads and writes are aligned.
    if (!zero || sink.chunked()) piece = std::min<std::uint64_t>(piece, kChunkBytes - at % kChunkBytes);
    if (zero) {
      VDISK_TRY(sink.zeros(piece));
    } else {
      const auto bytes = buffer.bytes().first(static_cast<std::size_t>(piece));
      VDISK_TRY(source.read({at}, bytes));
      VDISK_TRY(sink.data(bytes));
    }
    at += piece;
    meter.advance(at);
  }
  return {};
}

Status fill_raw_file(const Disk& source, File& target, const OperationControl& control) {
  VDISK_TRY(target.resize(source.geometry().virtual_size_bytes));
  SparseSink sink(target);
  VDISK_TRY(copy_content(source, sink, control));
  VDISK_TRY(check_cancelled(control, "the conversion"));
  return target.flush();
}

}  // namespace vdisk::ops
