// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::io::faults {

inline constexpr Fault kNotFound{"io.not_found", win32::kFileNotFound, "The file does not exist."};
inline constexpr Fault kPathNotFound{"io.path_not_found", win32::kPathNotFound,
                                     "A folder on the way to the file does not exist, or is not a folder."};
inline constexpr Fault kTooManyOpenFiles{"io.too_many_open_files", win32::kTooManyOpenFiles,
                                         "The process or the system has no free file descriptor."};
inline constexpr Fault kAccessDenied{"io.access_denied", win32::kAccessDenied,
                                     "The operating system refuses access to the file."};
inline constexpr Fault kNotRegular{
    "io.not_regular", win32::kAccessDenied,
    "The path names a folder, FIFO, socket or device where an image file must be."};
inline constexpr Fault kInvalidName{"io.invalid_name", win32::kInvalidName,
                                    "The path is empty, too long or not a name that a file can have."};
inline constexpr Fault kLocked{"io.locked", win32::kSharingViolation,
                               "Another process has the file open in a way that excludes this one."};
inline constexpr Fault kExists{"io.exists", win32::kFileExists, "The file exists and is not overwritten."};
inline constexpr Fault kDiskFull{"io.disk_full", win32::kDiskFull,
                                 "The file system or the quota of the user is full."};
inline constexpr Fault kTooLarge{"io.too_large", win32::kFileSystemLimitation,
                                 "The file system cannot hold a file of this size."};
inline constexpr Fault kReadOnly{"io.read_only", win32::kWriteProtect,
                                 "The file, or the file system that it lies on, is read-only."};
inline constexpr Fault kDevice{"io.device", win32::kIoDevice,
                               "The operating system reports an input/output error."};
inline constexpr Fault kShortRead{"io.short_read", win32::kHandleEof,
                                  "The file ends before the bytes that must be there."};

inline constexpr Fault kNbdLibrary{"io.nbd.library", win32::kNotSupported,
                                   "An NBD URI was named, and libnbd is not installed."};
inline constexpr Fault kNbdConnect{"io.nbd.connect", win32::kIoDevice,
                                   "The NBD server or its export cannot be reached."};
inline constexpr Fault kNbdLost{"io.nbd.lost", win32::kIoDevice,
                                "The NBD server went away, or gave no answer in time."};
inline constexpr Fault kNbdFixedSize{"io.nbd.fixed_size", win32::kDiskFull,
                                     "The file that an NBD server exports would have to change its size."};

inline constexpr const Fault* kIo[] = {
    &kNotFound,  &kPathNotFound, &kTooManyOpenFiles, &kAccessDenied, &kNotRegular,  &kInvalidName,
    &kLocked,    &kExists,       &kDiskFull,         &kTooLarge,     &kReadOnly,    &kDevice,
    &kShortRead, &kNbdLibrary,   &kNbdConnect,       &kNbdLost,      &kNbdFixedSize};

/// The row for a failed system call.
const Fault& fault_for_errno(int os_errno) noexcept;

}  // namespace vdisk::io::faults
