// SPDX-License-Identifier: Apache-2.0
//
// Access rights of a handle and what an open with them does to the file (virtdisk-api.md 2).
#pragma once

#include <virtdisk.h>

#include <cstdint>

namespace vdisk::capi {

/// What one handle may do, whatever version of parameters it was opened with.
struct Access {
  std::uint32_t rights = 0;  ///< VIRTUAL_DISK_ACCESS_* bits.
  bool writable = false;     ///< The backing file is opened for writing.

  bool allows(std::uint32_t right) const noexcept { return (rights & right) == right; }
};

/// V1 (or NULL): the mask, writable when it holds a writing right and RWDepth is not 0 (3.1; DESIGN: RWDepth
/// 0 opens everything read-only). ALL with NONE: version 1 with an empty mask can only be closed.
inline Access access_of_version_1(std::uint32_t mask, std::uint32_t rw_depth) noexcept {
  return {.rights = mask, .writable = (mask & VIRTUAL_DISK_ACCESS_WRITABLE) != 0 && rw_depth != 0};
}

/// V2 and V3: every right, less what GetInfoOnly and ReadOnly take away.
inline Access access_of_version_2(bool get_info_only, bool read_only) noexcept {
  if (get_info_only) return {.rights = VIRTUAL_DISK_ACCESS_GET_INFO, .writable = false};
  if (read_only)
    return {.rights = VIRTUAL_DISK_ACCESS_ALL & ~VIRTUAL_DISK_ACCESS_ATTACH_RW, .writable = false};
  return {.rights = VIRTUAL_DISK_ACCESS_ALL, .writable = true};
}

}  // namespace vdisk::capi
