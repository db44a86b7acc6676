// SPDX-License-Identifier: Apache-2.0
//
// API calls that take an OVERLAPPED (virtdisk-api.md 1.11, 2). They run on their caller's thread and end
// before they return, which 1.11 allows, and leave everything as a client expects it of an operation that has
// ended: the structure, the event, the table of operations. What would run a body on another thread begins in
// run().
#pragma once

#include <virtdisk.h>

#include <cstddef>
#include <memory>

#include "base/fault.h"
#include "capi/event.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/operations.h"

namespace vdisk::capi {

class OverlappedCall {
 public:
  /// Whether GetVirtualDiskOperationProgress knows the call after its end.
  enum class Kind { kTransfer, kDiskOperation };

  /// `overlapped` may be NULL: nothing is known of the call then.
  OverlappedCall(OVERLAPPED* overlapped, Kind kind) : overlapped_(overlapped), kind_(kind) {}

  std::size_t bytes_moved = 0;

  /// Runs the body of the API function and gives its code. Before, the structure tells that the operation is
  /// under way, and its event is reset; after, the structure tells the result, and the event is set if it is
  /// success: as on Windows a call that fails at once sets none. Fails with capi.event.handle (6) before the
  /// body when hEvent is not an event. Nothing is thrown.
  template <class Body>
  DWORD run(Body&& body) noexcept {
    const DWORD code = api_call([&]() -> Status {
      VDISK_TRY(begin());
      return body();
    });
    end(code);
    return code;
  }

  /// The handle that the operation runs on, to be told by the body as soon as it knows.
  void runs_on(const std::shared_ptr<const OpenHandle>& object);

 private:
  Status begin();
  void end(DWORD code) noexcept;

  OVERLAPPED* const overlapped_;
  const Kind kind_;
  std::shared_ptr<const OpenHandle> object_;
  std::shared_ptr<Operation> operation_;
  std::shared_ptr<const Event> event_;
};

}  // namespace vdisk::capi
