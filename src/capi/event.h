// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "capi/handle_table.h"
#include "capi/waiting.h"

namespace vdisk::capi {

/// The object behind a handle of CreateEvent: signalled from set() until reset(), or with `manual_reset`
/// unset until the first wait that it ends. Thread rule: any thread.
class Event final : public HandleObject, public Waitable {
 public:
  Event(bool manual_reset, bool set) : manual_reset_(manual_reset), set_(set) {}

  void set() const;
  void reset() const;
  const Waitable* waitable() const noexcept override { return this; }

 private:
  bool signalled() const VDISK_REQUIRES(wait_lock) override { return set_; }
  void take() const VDISK_REQUIRES(wait_lock) override {
    if (!manual_reset_) set_ = false;
  }

  const bool manual_reset_;
  mutable bool set_ VDISK_GUARDED_BY(wait_lock);
};

/// The event behind `handle`, or the error capi.event.handle (6).
Result<std::shared_ptr<const Event>> event_behind(HANDLE handle);

}  // namespace vdisk::capi
