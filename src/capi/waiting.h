// SPDX-License-Identifier: Apache-2.0
//
// What threads wait for, and the waiting. As in Windows' kernel, who signals an object also decides which
// waits that ends and takes for each what it waited for; so an auto-reset event lets exactly one thread go,
// the one that came first, and a wait for several objects takes all of them or none.
#pragma once

#include <virtdisk.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"

namespace vdisk::capi {

/// Guards the state of everything that can be waited for. One for all, since a wait may be for several
/// objects; held for a few instructions, and no other lock is taken under it.
inline constinit Mutex wait_lock;

class Waiter;

/// Thread rule: any thread.
class Waitable {
 public:
  virtual ~Waitable() = default;
  Waitable() = default;
  Waitable(const Waitable&) = delete;
  Waitable& operator=(const Waitable&) = delete;

 protected:
  /// Ends the waits that can end now. To be called whenever the object became signalled.
  void wake() const VDISK_REQUIRES(wait_lock);

 private:
  friend class Waiter;
  virtual bool signalled() const VDISK_REQUIRES(wait_lock) = 0;
  /// A wait for the object ended.
  virtual void take() const VDISK_REQUIRES(wait_lock) {}

  mutable std::vector<Waiter*> waiters_ VDISK_GUARDED_BY(wait_lock);  ///< Who came first is first.
};

using WaitableObjects = std::span<const std::shared_ptr<const Waitable>>;

/// Waits until one of the objects is signalled, or all are at once, and gives the lowest index of one that
/// was; unset when the time is over before. `milliseconds` may be 0, to look only, and INFINITE.
std::optional<std::size_t> wait_for(WaitableObjects objects, bool all, DWORD milliseconds);

}  // namespace vdisk::capi
