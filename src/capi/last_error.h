// SPDX-License-Identifier: Apache-2.0
//
// The calling thread's last failure: its code is what the API function returned, its text is the whole
// explanation.
#pragma once

#include <virtdisk.h>

#include <new>

#include "base/fault.h"

namespace vdisk::capi {

/// Forgets the thread's explanation; each API function does so first.
void clear_explanation() noexcept;
/// Keeps the error's sentence ("ERROR_FILE_CORRUPT 1392 [vhdx.log.empty]: …") and returns its code.
DWORD explain(const Error& error) noexcept;

/// What functions answer that tell their code by GetLastError.
BOOL bool_of(DWORD code) noexcept;

/// Runs the body of an API function: nothing it throws crosses the boundary (std::bad_alloc becomes 8).
template <class Body>
DWORD api_call(Body&& body) noexcept {
  clear_explanation();
  try {
    const Status status = body();
    return status ? ERROR_SUCCESS : explain(status.error());
  } catch (const std::bad_alloc&) {
    return ERROR_NOT_ENOUGH_MEMORY;
  } catch (...) {
    return ERROR_NOT_ENOUGH_MEMORY;  // std::length_error and kin: a size that cannot be had
  }
}

}  // namespace vdisk::capi
