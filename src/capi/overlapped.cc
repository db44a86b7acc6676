// SPDX-License-Identifier: Apache-2.0
#include "capi/overlapped.h"

#include <array>
#include <atomic>

#include "capi/faults.h"

namespace vdisk::capi {

namespace {

// Other threads look at the structure while the operation runs.
std::atomic_ref<ULONG_PTR> status_of(OVERLAPPED& overlapped) { return std::atomic_ref(overlapped.Internal); }

// Internal is an NTSTATUS: facility NTWIN32 (7) for plain codes; the codes of virtual disks are status values
// by themselves.
constexpr DWORD kFacilityWin32 = 0xC0070000;
DWORD status_from_code(DWORD code) noexcept {
  return code == ERROR_SUCCESS || code >= 0x80000000U ? code : kFacilityWin32 | code;
}
DWORD code_from_status(DWORD status) noexcept {
  return (status & 0xFFFF0000U) == kFacilityWin32 ? status & 0xFFFFU : status;
}

}  // namespace

void OverlappedCall::runs_on(const std::shared_ptr<const OpenHandle>& object) {
  if (overlapped_ == nullptr) return;
  auto operation = std::make_shared<Operation>(overlapped_, kind_ == Kind::kDiskOperation);
  object->operations.start(operation);
  operation_ = std::move(operation);
  object_ = object;
}

Status OverlappedCall::begin() {
  if (overlapped_ == nullptr) return {};
  status_of(*overlapped_).store(STATUS_PENDING, std::memory_order_relaxed);
  if (overlapped_->hEvent == nullptr) return {};
  event_ = VDISK_TRY(event_behind(overlapped_->hEvent));
  event_->reset();
  return {};
}

void OverlappedCall::end(DWORD code) noexcept {
  if (overlapped_ == nullptr) return;
  overlapped_->InternalHigh = bytes_moved;
  // From here on the structure is the client's again: a thread that polls it may give it up at once.
  status_of(*overlapped_).store(status_from_code(code), std::memory_order_release);
  if (object_ != nullptr) object_->operations.end(*operation_, code);
  if (event_ != nullptr && code == ERROR_SUCCESS) event_->set();
}

namespace {

/// Waits for the end, if the operation has not ended and `wait` says so.
Status need_end(HANDLE handle, OVERLAPPED& overlapped, bool wait) {
  const auto running = [&] {
    return status_of(overlapped).load(std::memory_order_acquire) == STATUS_PENDING;
  };
  if (!running()) return {};  // the handle does not matter any more, it may be closed
  const auto object = VDISK_TRY(open_handle(handle));
  if (const auto operation = object->operations.under_way(&overlapped); operation != nullptr && wait) {
    const std::array<std::shared_ptr<const Waitable>, 1> its_end{operation};
    wait_for(its_end, false, INFINITE);
  }
  if (!running()) return {};
  return fail(faults::kOverlappedRunning, "{}: the operation has not ended", object->path);
}

Status overlapped_result(HANDLE handle, OVERLAPPED* overlapped, DWORD* count, bool wait) {
  if (overlapped == nullptr || count == nullptr) {
    return fail(faults::kOverlappedArguments, "{} is NULL",
                overlapped == nullptr ? "lpOverlapped" : "lpNumberOfBytesTransferred");
  }
  return need_end(handle, *overlapped, wait);
}

Status progress_of(HANDLE handle, const OVERLAPPED* overlapped, VIRTUAL_DISK_PROGRESS* progress) {
  if (overlapped == nullptr || progress == nullptr) {
    return fail(faults::kOverlappedArguments, "{} is NULL",
                overlapped == nullptr ? "Overlapped" : "Progress");
  }
  const auto object = VDISK_TRY(open_handle(handle));
  const std::optional<DWORD> status = object->operations.status(overlapped);
  if (!status) {
    return fail(faults::kOperationUnknown, "{}: no operation of this handle was given the OVERLAPPED at {}",
                object->path, fmt::ptr(overlapped));
  }
  // In per cent of what no operation counts yet: its end alone is known. Clients divide by CompletionValue.
  progress->OperationStatus = *status;
  progress->CurrentValue = *status == ERROR_SUCCESS ? 100 : 0;
  progress->CompletionValue = 100;
  return {};
}

}  // namespace

}  // namespace vdisk::capi

using namespace vdisk::capi;

BOOL WINAPI GetOverlappedResult(HANDLE hFile, LPOVERLAPPED lpOverlapped, LPDWORD lpNumberOfBytesTransferred,
                                BOOL bWait) {
  const DWORD code = api_call(
      [&] { return overlapped_result(hFile, lpOverlapped, lpNumberOfBytesTransferred, bWait != FALSE); });
  if (code != ERROR_SUCCESS) return bool_of(code);
  *lpNumberOfBytesTransferred = static_cast<DWORD>(lpOverlapped->InternalHigh);
  return bool_of(code_from_status(static_cast<DWORD>(lpOverlapped->Internal)));
}

DWORD WINAPI GetVirtualDiskOperationProgress(HANDLE VirtualDiskHandle, LPOVERLAPPED Overlapped,
                                             PVIRTUAL_DISK_PROGRESS Progress) {
  return api_call([&] { return progress_of(VirtualDiskHandle, Overlapped, Progress); });
}

// No operation outlives the call that started it, so there is none to cancel.
BOOL WINAPI CancelIo(HANDLE hFile) {
  return bool_of(api_call([&]() -> vdisk::Status {
    VDISK_TRY(open_handle(hFile));
    return {};
  }));
}

BOOL WINAPI CancelIoEx(HANDLE hFile, LPOVERLAPPED) {
  return bool_of(api_call([&]() -> vdisk::Status {
    const auto object = VDISK_TRY(open_handle(hFile));
    return vdisk::fail(faults::kNothingToCancel, "{}: no operation that could be cancelled", object->path);
  }));
}
