// SPDX-License-Identifier: Apache-2.0
//
// Storage that takes whole sectors alone: disks, and files that bypass the page cache. Who writes a part of one reads the sector, changes it and writes it back;
// whatever others write to it meanwhile would be lost, so nobody may.
#pragma once

#include <condition_variable>
#include <cstdint>

#include "base/mutex.h"

namespace vdisk {

/// Lets writes of whole sectors go on side by side, and keeps all of them away while a part of a sector is
/// changed. A change that waits comes before writes that come after it: a stream of writes cannot keep it
/// out. Thread rule: all members, any thread; the one who leaves need not be the one who entered.
class SectorGate {
 public:
  /// False when one would have to wait; nothing is entered then.
  bool try_enter_whole() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (alone_ != 0) return false;
    ++whole_;
    return true;
  }
  void enter_whole() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (alone_ != 0) changed_.wait(mutex_);
    ++whole_;
  }
  void leave_whole() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (--whole_ == 0 && alone_ != 0) changed_.notify_all();
  }
  void enter_alone() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    ++alone_;
    while (whole_ != 0 || busy_) changed_.wait(mutex_);
    busy_ = true;
  }
  void leave_alone() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    busy_ = false;
    --alone_;
    changed_.notify_all();
  }

 private:
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t whole_ VDISK_GUARDED_BY(mutex_) = 0;
  std::uint64_t alone_ VDISK_GUARDED_BY(mutex_) = 0;  ///< Waiting or inside.
  bool busy_ VDISK_GUARDED_BY(mutex_) = false;        ///< One of them is inside.
};

}  // namespace vdisk
