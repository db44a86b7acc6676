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

inline constexpr Fault kNoPrivilege{"attach.no_privilege", win32::kPrivilegeNotHeld,
                                    "The user may not make block devices."};
inline constexpr Fault kNoLoop{"attach.no_loop", win32::kNotSupported, "The kernel has no loop devices."};
inline constexpr Fault kDevice{"attach.device", win32::kIoDevice,
                               "The kernel refused a step of making or removing the block device."};
inline constexpr Fault kProvider{"attach.provider", win32::kNotSupported,
                                 "The provider that was asked for cannot serve this image here."};
inline constexpr Fault kRange{"attach.range", win32::kInvalidParameter,
                              "The range to attach is not whole sectors of the disk."};
inline constexpr Fault kNoServer{
    "attach.no_server", win32::kFileNotFound,
    "The helper program vdisk-server, which holds attachments, cannot be started."};
inline constexpr Fault kServerDied{"attach.server_died", win32::kIoDevice,
                                   "The attachment's server ended, or does not answer."};
inline constexpr Fault kForeignAnswer{
    "attach.foreign_answer", win32::kInvalidParameter,
    "A message between vdisk and its server is not one that this version knows."};
inline constexpr Fault kBusy{"attach.busy", win32::kBusy, "The attached disk is in use."};
inline constexpr Fault kNotAttached{"attach.not_attached", win32::kNotFound, "Nothing is attached there."};
inline constexpr Fault kNotOurs{"attach.not_ours", win32::kAccessDenied,
                                "The attachment belongs to another user."};

inline constexpr Fault kNoPartition{"attach.no_partition", win32::kNotFound,
                                    "The disk has no partition of that number."};
inline constexpr Fault kNoFileSystem{"attach.no_file_system", win32::kNotSupported,
                                     "Nothing on the disk can be mounted here."};
inline constexpr Fault kMountRefused{"attach.mount_refused", win32::kAccessDenied,
                                     "The operating system refused to mount or unmount a volume."};

inline constexpr const Fault* kAll[] = {
    &kNoFolder,     &kFolderUntrusted, &kRecordUntrusted, &kRecordUnreadable,
    &kRecordLimits, &kAlreadyAttached, &kRegistryBusy,    &kNoPrivilege,
    &kNoLoop,       &kDevice,          &kProvider,        &kRange,
    &kNoServer,     &kServerDied,      &kForeignAnswer,   &kBusy,
    &kNotAttached,  &kNotOurs,         &kNoPartition,     &kNoFileSystem,
    &kMountRefused};

}  // namespace vdisk::attach::faults
