// SPDX-License-Identifier: Apache-2.0
//
// Handles: numbers that stand for open objects. A stale or invented handle is recognised, never followed.
#pragma once

#include <virtdisk.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/fault.h"
#include "base/mutex.h"

namespace vdisk::capi {

class Waitable;

/// What a handle stands for: a virtual disk (open_handle.h), an event (event.h), or a file of the host
/// (host_object.h). Shared by the calls that use it, so that a close beside a running call ends it after that
/// call.
class HandleObject {
 public:
  virtual ~HandleObject() = default;
  HandleObject() = default;
  HandleObject(const HandleObject&) = delete;
  HandleObject& operator=(const HandleObject&) = delete;

  /// What a thread that waits for the handle waits for; null when there is nothing.
  virtual const Waitable* waitable() const noexcept { return nullptr; }
};

/// Thread rule: any thread. Handles are process-wide, non-zero multiples of 4 (as on Windows), and not used
/// again soon: each carries a generation number.
class HandleTable {
 public:
  static HandleTable& instance();

  HANDLE add(std::shared_ptr<const HandleObject> object);
  /// Null when the handle is not open.
  std::shared_ptr<const HandleObject> find(HANDLE handle) const;
  /// False when the handle is not open.
  bool remove(HANDLE handle);

 private:
  struct Slot {
    std::uint32_t generation = 1;
    std::shared_ptr<const HandleObject> object;
  };
  Slot* slot_of(HANDLE handle) const VDISK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  mutable std::vector<Slot> slots_ VDISK_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ VDISK_GUARDED_BY(mutex_);
};

/// The object of type `Object` behind `handle`; null when there is none, or it is of another kind.
template <class Object>
std::shared_ptr<const Object> find_object(HANDLE handle) {
  return std::dynamic_pointer_cast<const Object>(HandleTable::instance().find(handle));
}

}  // namespace vdisk::capi
