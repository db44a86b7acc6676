// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::serve::faults {

inline constexpr Fault kNoFuse{"fuse.unavailable", win32::kNotSupported,
                               "The kernel's FUSE cannot be used here."};
inline constexpr Fault kMountPoint{"fuse.mount_point", win32::kPathNotFound,
                                   "The place to mount at is not a folder that can be used."};
inline constexpr Fault kMountRefused{"fuse.mount_refused", win32::kAccessDenied,
                                     "The operating system refuses to mount or unmount there."};
inline constexpr Fault kMountBusy{"fuse.mount_busy", win32::kBusy,
                                  "Something in the mounted folder is in use."};
inline constexpr Fault kNoResend{"fuse.no_resend", win32::kNotSupported,
                                 "The kernel cannot send again what a killed server did not answer."};
inline constexpr Fault kConnection{"fuse.connection", win32::kIoDevice,
                                   "The connection to the kernel's FUSE failed or was aborted."};

inline constexpr const Fault* kFuse[] = {&kNoFuse,    &kMountPoint, &kMountRefused,
                                         &kMountBusy, &kNoResend,   &kConnection};

}  // namespace vdisk::serve::faults
