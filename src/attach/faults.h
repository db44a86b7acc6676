// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::attach::faults {

inline constexpr Fault kNoFolder{"attach.no_folder", win32::kPathNotFound,
                                 "The user has no runtime folder in which attachments can be recorded."};
inline constexpr Fault kFolderUntrusted{"attach.folder_untrusted", win32::kAccessDenied,
                                        "The attachment registry's folder could be written by someone else."};
inline constexpr Fault kRecordUntrusted{"attach.record_untrusted", win32::kAccessDenied,
                                        "An attachment record is a link, a special file or another user's."};
// 32: a live attachment holds the image, and we cannot learn what it allows.
inline constexpr Fault kRecordUnreadable{"attach.record_unreadable", win32::kSharingViolation,
                                         "A live attachment's record is not one that this version can read."};
inline constexpr Fault kRecordLimits{"attach.record_limits", win32::kInvalidName,
                                     "An attachment's path or device node is too long to be recorded."};
inline constexpr Fault kAlreadyAttached{"attach.already_attached", win32::kSharingViolation,
                                        "The image is attached already."};
inline constexpr Fault kRegistryBusy{"attach.registry_busy", win32::kSharingViolation,
                                     "The attachment registry changed at every attempt to use it."};

inline constexpr const Fault* kAll[] = {&kNoFolder,         &kFolderUntrusted, &kRecordUntrusted,
                                        &kRecordUnreadable, &kRecordLimits,    &kAlreadyAttached,
                                        &kRegistryBusy};

}  // namespace vdisk::attach::faults
