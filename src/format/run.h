// SPDX-License-Identifier: Apache-2.0
//
// Where bytes of a virtual disk are: the answer of an image (Run, RunList) to a question about a range.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fault.h"

namespace vdisk {

/// A stretch of the disk whose bytes lie in one place.
struct Run {
  enum class Source : std::uint8_t {
    kFile,    ///< In this image's file, from `from` on.
    kZero,    ///< Zeros.
    kParent,  ///< Whatever the parent shows at the same disk offset (zeros past the parent's end).
  };
  Source source = Source::kZero;
  DiskOffset at;
  std::uint64_t length = 0;
  FileOffset from;  ///< Meaningful for kFile.

  std::uint64_t end() const noexcept { return at.bytes + length; }
};

/// Up to kCapacity runs in disk order, without gaps. Lives on the stack and never allocates. Neighbours that
/// continue one another are merged as they are added.
class RunList {
 public:
  static constexpr std::size_t kCapacity = 32;

  RunList() {}  // NOLINT: leaves runs_ unset on purpose; clearing a kilobyte for each read would show
  bool empty() const noexcept { return count_ == 0; }
  std::size_t size() const noexcept { return count_; }
  const Run& operator[](std::size_t i) const noexcept { return runs_[i]; }
  const Run* begin() const noexcept { return runs_.data(); }
  const Run* end() const noexcept { return runs_.data() + count_; }
  const Run& back() const noexcept { return runs_[count_ - 1]; }
  void clear() noexcept { count_ = 0; }

  /// Adds a run that begins where the last one ends; false (and nothing added) when the list is full.
  bool add(const Run& run) noexcept {
    if (count_ != 0 && continues(runs_[count_ - 1], run)) {
      runs_[count_ - 1].length += run.length;
      return true;
    }
    if (count_ == kCapacity) return false;
    runs_[count_++] = run;
    return true;
  }

 private:
  static bool continues(const Run& last, const Run& next) noexcept {
    return last.source == next.source &&
           (last.source != Run::Source::kFile || last.from.bytes + last.length == next.from.bytes);
  }

  union {
    std::array<Run, kCapacity> runs_;
  };
  std::size_t count_ = 0;
};

}  // namespace vdisk
