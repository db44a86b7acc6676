// SPDX-License-Identifier: Apache-2.0
#include "capi/waiting.h"

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "capi/faults.h"
#include "capi/handle_table.h"
#include "capi/last_error.h"

namespace vdisk::capi {

/// One wait of one thread.
class Waiter {
 public:
  /// Who signals an object ends the wait from now on.
  Waiter(WaitableObjects objects, bool all) VDISK_REQUIRES(wait_lock) : objects_(objects), all_(all) {
    for (const auto& object : objects_) object->waiters_.reserve(object->waiters_.size() + objects.size());
    for (const auto& object : objects_) object->waiters_.push_back(this);
  }
  ~Waiter() VDISK_REQUIRES(wait_lock) {
    for (const auto& object : objects_) std::erase(object->waiters_, this);
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Ends the wait if what it is for is there.
  bool try_end() VDISK_REQUIRES(wait_lock) {
    if (which_) return true;
    std::size_t first = objects_.size();
    for (std::size_t i = objects_.size(); i-- > 0;) {
      if (objects_[i]->signalled()) {
        first = i;
      } else if (all_) {
        return false;
      }
    }
    if (first == objects_.size()) return false;
    which_ = first;
    for (std::size_t i = first; i < (all_ ? objects_.size() : first + 1); ++i) objects_[i]->take();
    ended_.notify_one();
    return true;
  }

  void sleep(DWORD milliseconds) VDISK_REQUIRES(wait_lock) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!which_) {
      if (milliseconds == INFINITE) {
        ended_.wait(wait_lock);
      } else if (ended_.wait_until(wait_lock, end) == std::cv_status::timeout) {
        return;
      }
    }
  }

  std::optional<std::size_t> which() const VDISK_REQUIRES(wait_lock) { return which_; }

 private:
  const WaitableObjects objects_;
  const bool all_;
  std::optional<std::size_t> which_ VDISK_GUARDED_BY(wait_lock);
  std::condition_variable_any ended_;
};

void Waitable::wake() const {
  for (Waiter* waiter : waiters_) waiter->try_end();
}

std::optional<std::size_t> wait_for(WaitableObjects objects, bool all, DWORD milliseconds) {
  const MutexLock lock(wait_lock);
  Waiter waiter(objects, all);
  if (!waiter.try_end() && milliseconds != 0) waiter.sleep(milliseconds);
  return waiter.which();
}

namespace {

using Objects = std::vector<std::shared_ptr<const Waitable>>;

Result<Objects> objects_behind(std::span<const HANDLE> handles) {
  Objects objects;
  for (const HANDLE handle : handles) {
    // The object keeps what is waited for in being, so that the close of a handle beside a wait does no harm.
    const auto object = HandleTable::instance().find(handle);
    const Waitable* const waitable = object == nullptr ? nullptr : object->waitable();
    if (waitable == nullptr) {
      return fail(faults::kWaitHandle, "handle {} is neither an event nor a virtual disk that is open",
                  fmt::ptr(handle));
    }
    objects.emplace_back(object, waitable);
  }
  return objects;
}

Status check_wait(DWORD count, const HANDLE* handles, bool all) {
  if (handles == nullptr || count == 0 || count > MAXIMUM_WAIT_OBJECTS) {
    return fail(faults::kWaitArguments, "{} handles at {}: a wait is for 1 to {}", count, fmt::ptr(handles),
                MAXIMUM_WAIT_OBJECTS);
  }
  for (DWORD i = 0; all && i < count; ++i) {
    if (std::find(handles, handles + i, handles[i]) != handles + i)
      return fail(faults::kWaitArguments, "handle {} is given twice", fmt::ptr(handles[i]));
  }
  return {};
}

DWORD wait_for_handles(DWORD count, const HANDLE* handles, bool all, DWORD milliseconds) noexcept {
  DWORD result = WAIT_TIMEOUT;
  const DWORD code = api_call([&]() -> Status {
    VDISK_TRY(check_wait(count, handles, all));
    const Objects objects = VDISK_TRY(objects_behind({handles, count}));
    if (const auto which = wait_for(objects, all, milliseconds))
      result = WAIT_OBJECT_0 + static_cast<DWORD>(*which);
    return {};
  });
  if (code == ERROR_SUCCESS) return result;
  SetLastError(code);
  return WAIT_FAILED;
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds) {
  return vdisk::capi::wait_for_handles(1, &hHandle, false, dwMilliseconds);
}

DWORD WINAPI WaitForMultipleObjects(DWORD nCount, const HANDLE* lpHandles, BOOL bWaitAll,
                                    DWORD dwMilliseconds) {
  return vdisk::capi::wait_for_handles(nCount, lpHandles, bWaitAll != FALSE, dwMilliseconds);
}

void WINAPI Sleep(DWORD dwMilliseconds) {
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(dwMilliseconds));
  } while (dwMilliseconds == INFINITE);
}
