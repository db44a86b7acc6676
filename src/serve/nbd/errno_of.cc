// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/errno_of.h"

#include <cerrno>

#include "base/win32_codes.h"

namespace vdisk::serve::nbd {

int errno_of(const Error& error) noexcept {
  switch (error.code()) {
    case win32::kAccessDenied:
    case win32::kWriteProtect:
    case win32::kSharingViolation:
      return EPERM;
    case win32::kNotEnoughMemory:
      return ENOMEM;
    case win32::kInvalidParameter:
    case win32::kHandleEof:
      return EINVAL;
    case win32::kDiskFull:
    case win32::kFileTooLarge:
    case win32::kFileSystemLimitation:
    case win32::kVirtualDiskLimitation:
      return ENOSPC;
    case win32::kNotSupported:
      return ENOTSUP;
    default:
      return EIO;
  }
}

}  // namespace vdisk::serve::nbd
