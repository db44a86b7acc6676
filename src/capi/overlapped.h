// SPDX-License-Identifier: Apache-2.0
//
// Every operation ends before its call returns, also with an OVERLAPPED, which virtdisk-api.md 1.11 allows;
// what is left to do is to say so in the structure. The library has no events yet, so hEvent is not looked
// at.
#pragma once

#include <virtdisk.h>

#include <cstddef>

namespace vdisk::capi {

/// Notes the end of an operation: its status, as HasOverlappedIoCompleted reads it, and how many bytes it
/// moved.
inline void complete(OVERLAPPED* overlapped, DWORD code, std::size_t bytes = 0) noexcept {
  if (overlapped == nullptr) return;
  // An NTSTATUS: facility NTWIN32 (7) for plain codes; the codes of virtual disks are status values by
  // themselves.
  overlapped->Internal = code == ERROR_SUCCESS || code >= 0x80000000U ? code : 0xC0070000U | code;
  overlapped->InternalHigh = bytes;
}

}  // namespace vdisk::capi
