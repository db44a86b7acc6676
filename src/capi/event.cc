// SPDX-License-Identifier: Apache-2.0
#include "capi/event.h"

#include <utility>

#include "capi/faults.h"
#include "capi/last_error.h"

namespace vdisk::capi {

void Event::set() const {
  const MutexLock lock(wait_lock);
  set_ = true;
  wake();
}

void Event::reset() const {
  const MutexLock lock(wait_lock);
  set_ = false;
}

Result<std::shared_ptr<const Event>> event_behind(HANDLE handle) {
  auto event = find_object<Event>(handle);
  if (event == nullptr) return fail(faults::kEventHandle, "handle {} is not an open event", fmt::ptr(handle));
  return event;
}

namespace {

/// SecurityDescriptor and inheritance have no meaning here: an event is known to its process alone, and so it
/// has no name by which another could find it.
template <class Char>
HANDLE create_event(BOOL manual_reset, BOOL set, const Char* name) noexcept {
  HANDLE handle = nullptr;
  const DWORD code = api_call([&]() -> Status {
    if (name != nullptr && *name != 0)
      return fail(faults::kEventName, "lpName is given: events have no names here, pass NULL");
    handle = HandleTable::instance().add(std::make_shared<const Event>(manual_reset != FALSE, set != FALSE));
    return {};
  });
  SetLastError(code);  // also 0: a client asks whether it says ERROR_ALREADY_EXISTS
  return handle;
}

BOOL with_event(HANDLE handle, void (Event::*change)() const) noexcept {
  return bool_of(api_call([&]() -> Status {
    const auto event = VDISK_TRY(event_behind(handle));
    ((*event).*change)();
    return {};
  }));
}

}  // namespace

}  // namespace vdisk::capi

HANDLE WINAPI CreateEventA(LPSECURITY_ATTRIBUTES, BOOL bManualReset, BOOL bInitialState, LPCSTR lpName) {
  return vdisk::capi::create_event(bManualReset, bInitialState, lpName);
}

HANDLE WINAPI CreateEventW(LPSECURITY_ATTRIBUTES, BOOL bManualReset, BOOL bInitialState, LPCWSTR lpName) {
  return vdisk::capi::create_event(bManualReset, bInitialState, lpName);
}

BOOL WINAPI SetEvent(HANDLE hEvent) { return vdisk::capi::with_event(hEvent, &vdisk::capi::Event::set); }

BOOL WINAPI ResetEvent(HANDLE hEvent) { return vdisk::capi::with_event(hEvent, &vdisk::capi::Event::reset); }
