// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <expected>
#include <optional>
#include <utility>

#include "base/fault.h"
#include "base/mutex.h"

namespace vdisk {

/// The first failure after which nobody knows what is on the medium: whoever would write later gets it again.
/// What a failed flush has written and what not nobody knows, and the next flush need not tell (fsync(2)).
/// Thread rule: any thread; checking takes no lock while all is well.
class Poison {
 public:
  Status check() const VDISK_EXCLUDES(mutex_) {
    if (!poisoned_.load(std::memory_order_acquire)) [[likely]]
      return {};
    const MutexLock lock(mutex_);
    return std::unexpected(*first_);
  }

  /// Keeps `error` if it is the first; returns the first.
  std::unexpected<Error> set(Error error) VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (!first_) first_ = std::move(error);
    poisoned_.store(true, std::memory_order_release);
    return std::unexpected(*first_);
  }

 private:
  std::atomic<bool> poisoned_{false};
  mutable Mutex mutex_;
  std::optional<Error> first_ VDISK_GUARDED_BY(mutex_);
};

}  // namespace vdisk
