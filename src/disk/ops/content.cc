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

Extent rest_of(Extent extent, std::uint64_t at) {
  extent.from.bytes += at - extent.range.at.bytes;
  extent.range = {{at}, extent.range.end() - at};
  return extent;
}

void find_data(DiskOffset at, std::span<const std::byte> bytes, std::vector<DiskRange>& data) {
  while (!bytes.empty()) {
    const std::size_t hole = page_run(bytes, true);
    at.bytes += hole;
    bytes = bytes.subspan(hole);
    std::size_t length = page_run(bytes, false);
    while (length < bytes.size()) {
      const std::size_t gap = page_run(bytes.subspan(length), true);
      if (gap >= kShortestHoleBytes || length + gap == bytes.size()) break;
      length += gap;
      length += page_run(bytes.subspan(length), false);
    }
    if (length != 0) data.push_back({at, length});
    at.bytes += length;
    bytes = bytes.subspan(length);
  }
}

void StreamSink::wait_writable() const {
  pollfd poll{fd_, POLLOUT, 0};
  ::poll(&poll, 1, 200);  // A timeout only looks at the cancellation again.
}

Status StreamSink::data(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // Before each write: one that a signal cuts short tells of the part that was written, not of the signal.
    VDISK_TRY(check_cancelled(control_, "writing to standard output"));
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (errno == EINTR) {
      continue;
    } else if (errno == EAGAIN) {
      wait_writable();
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
    static_cast<void>(VDISK_TRY(disk_.extents({{at}, end_ - at}, extents_)));
  }
  Extent rest = extents_[next_];
  const std::uint64_t skipped = at - rest.range.at.bytes;
  rest.range = {{at}, rest.range.length - skipped};
  rest.from.bytes += skipped;
  part_ = VDISK_TRY(cut_at_hole(rest));
  return part_;
}

Result<Extent> ExtentWalk::cut_at_hole(Extent extent) {
  if (extent.source != Extent::Source::kData || extent.range.length < kShortestQuestionBytes) return extent;
  if (extent.layer == data_layer_ && extent.from.bytes >= data_begin_ && extent.from.bytes < data_end_) {
    extent.range.length = std::min(extent.range.length, data_end_ - extent.from.bytes);
    return extent;
  }
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
  if (hole > extent.from.bytes) {
    extent.range.length = std::min(most, hole - extent.from.bytes);
    data_layer_ = extent.layer;
    data_begin_ = extent.from.bytes;
    data_end_ = hole;
  }
  return extent;
}

Status Content::read(DiskOffset at, std::span<std::byte> into) const {
  const std::uint64_t source_size = source_.geometry().virtual_size_bytes;
  const std::uint64_t inside =
      at.bytes < source_size ? std::min<std::uint64_t>(into.size(), source_size - at.bytes) : 0;
  if (inside != 0) VDISK_TRY(source_.read(at, into.first(inside)));
  std::ranges::fill(into.subspan(inside), std::byte{0});
  for (const Patch& patch : patches_) {
    const std::uint64_t begin = std::max(at.bytes, patch.at.bytes);
    const std::uint64_t end = std::min(at.bytes + into.size(), patch.end());
    if (begin >= end) continue;
    std::ranges::copy(std::span(patch.bytes).subspan(begin - patch.at.bytes, end - begin),
                      into.subspan(begin - at.bytes).begin());
  }
  return {};
}

Result<Extent> ContentWalk::find(std::uint64_t at) {
  const std::vector<Patch>& patches = content_.patches();
  while (patch_ < patches.size() && patches[patch_].end() <= at) ++patch_;
  std::uint64_t limit = content_.size();
  if (patch_ < patches.size()) {
    const Patch& patch = patches[patch_];
    if (patch.at.bytes <= at) {
      return Extent{
          .range = {{at}, patch.end() - at}, .source = Extent::Source::kData, .layer = kNoLayer, .from = {}};
    }
    limit = patch.at.bytes;
  }
  const std::uint64_t source_size = content_.source().geometry().virtual_size_bytes;
  if (at >= source_size) {
    return Extent{.range = {{at}, limit - at}, .source = Extent::Source::kZero, .layer = 0, .from = {}};
  }
  Extent extent = rest_of(VDISK_TRY(walk_.find(at)), at);
  extent.range.length = std::min(extent.range.length, limit - at);
  return extent;
}

}  // namespace vdisk::ops
