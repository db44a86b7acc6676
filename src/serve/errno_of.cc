// SPDX-License-Identifier: Apache-2.0
#include "serve/errno_of.h"

#include <cerrno>

#include "base/win32_codes.h"

namespace vdisk::serve {

int errno_of(Win32Code code) noexcept {
  switch (code) {
    case win32::kFileNotFound:
    case win32::kPathNotFound:
      return ENOENT;
    case win32::kTooManyOpenFiles:
      return EMFILE;
    case win32::kAccessDenied:
      return EACCES;
    case win32::kNotEnoughMemory:
      return ENOMEM;
    case win32::kWriteProtect:
      return EROFS;
    case win32::kSharingViolation:
      return EBUSY;
    case win32::kNotSupported:
      return EOPNOTSUPP;
    case win32::kInvalidParameter:
    case win32::kHandleEof:  // of a range: nobody asks a disk for more than it has
      return EINVAL;
    // A file system that cannot hold a larger image has no more room for this disk's data either.
    case win32::kDiskFull:
    case win32::kFileSystemLimitation:
      return ENOSPC;
    default:
      return EIO;
  }
}

}  // namespace vdisk::serve
