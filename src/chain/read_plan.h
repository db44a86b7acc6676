// SPDX-License-Identifier: Apache-2.0
//
// A read of the whole chain, flattened: every layer's payload as (file, offset, length), ready to go out at
// once.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace vdisk {

struct PlannedRun {
  enum class Source : std::uint8_t {
    kFile,  ///< In layer `layer`'s file from `from` on.
    kZero,
    kUnresolved,  ///< In a parent that was not opened (no_parents).
  };
  Source source = Source::kZero;
  std::uint32_t layer = 0;  ///< 0 is the leaf.
  DiskOffset at;
  std::uint64_t length = 0;
  FileOffset from;
};

/// Like RunList, for the whole chain: on the stack, merged as it grows, never allocates.
class ReadPlan {
 public:
  static constexpr std::size_t kCapacity = 32;

  ReadPlan() {}  // NOLINT: leaves runs_ unset on purpose
  bool empty() const noexcept { return count_ == 0; }
  std::size_t size() const noexcept { return count_; }
  const PlannedRun& operator[](std::size_t i) const noexcept { return runs_[i]; }
  const PlannedRun* begin() const noexcept { return runs_.data(); }
  const PlannedRun* end() const noexcept { return runs_.data() + count_; }
  void clear() noexcept { count_ = 0; }

  /// Adds a run that begins where the last one ends; false (and nothing added) when the plan is full.
  bool add(const PlannedRun& run) noexcept {
    if (count_ != 0 && continues(runs_[count_ - 1], run)) {
      runs_[count_ - 1].length += run.length;
      return true;
    }
    if (count_ == kCapacity) return false;
    runs_[count_++] = run;
    return true;
  }

 private:
  static bool continues(const PlannedRun& last, const PlannedRun& next) noexcept {
    if (last.source != next.source) return false;
    if (last.source != PlannedRun::Source::kFile) return true;
    return last.layer == next.layer && last.from.bytes + last.length == next.from.bytes;
  }

  union {
    std::array<PlannedRun, kCapacity> runs_;
  };
  std::size_t count_ = 0;
};

}  // namespace vdisk
