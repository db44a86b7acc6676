// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::capi::faults {

inline constexpr Fault kStorageTypeNull{"capi.storage_type_null", win32::kInvalidParameter,
                                        "VirtualStorageType is NULL."};
inline constexpr Fault kPathNull{"capi.path_null", win32::kInvalidParameter, "Path is NULL."};
inline constexpr Fault kHandleNull{"capi.handle_null", win32::kInvalidParameter,
                                   "The pointer that receives the handle is NULL."};
inline constexpr Fault kAccessMask{"capi.access_mask", win32::kInvalidParameter,
                                   "VirtualDiskAccessMask has bits outside VIRTUAL_DISK_ACCESS_ALL."};
inline constexpr Fault kVersion{"capi.version", win32::kInvalidParameter,
                                "The parameters' Version is not one that the contract level knows."};
inline constexpr Fault kFlags{"capi.flags", win32::kInvalidParameter,
                              "Flags has bits that are not valid in this call."};
inline constexpr Fault kAccessMaskNotNone{"capi.access_mask_not_none", win32::kInvalidParameter,
                                          "Version 2 and 3 parameters require VIRTUAL_DISK_ACCESS_NONE."};
inline constexpr Fault kPathText{"capi.path_text", win32::kInvalidName,
                                 "Path is empty or is not valid text."};
inline constexpr Fault kProvider{"capi.provider", win32::kVirtdiskProviderNotFound,
                                 "No provider is known for this vendor and device id."};
inline constexpr Fault kIsoContract{"capi.iso_contract", win32::kVirtdiskProviderNotFound,
                                    "The windows7 contract has no ISO provider."};
inline constexpr Fault kIsoVersion{"capi.iso_version", win32::kNotSupported,
                                   "ISO images open with version 1 parameters (or NULL) only."};
inline constexpr Fault kIsoFlags{"capi.iso_flags", win32::kInvalidParameter,
                                 "NO_PARENTS and BLANK_FILE do not apply to ISO images."};
inline constexpr Fault kIsoAccess{"capi.iso_access", win32::kAccessDenied,
                                  "ISO images open with ATTACH_RO, DETACH and GET_INFO only."};
inline constexpr Fault kHostCompressed{"capi.host_compressed", win32::kUnsupportedCompression,
                                       "The file is compressed by its file system."};
inline constexpr Fault kHostEncrypted{"capi.host_encrypted", win32::kFileEncrypted,
                                      "The file is encrypted by its file system."};
inline constexpr Fault kHostLoopbackShare{"capi.host_loopback_share", win32::kFileSystemLimitation,
                                          "The file lies on a network share that this very host serves."};
inline constexpr Fault kAttachedNeedsDetach{"capi.attached_needs_detach", win32::kSharingViolation,
                                            "A permanently attached disk opens only with the DETACH right."};
inline constexpr Fault kAttachedReadOnly{"capi.attached_read_only", win32::kSharingViolation,
                                         "The disk is attached read-only; it cannot be opened for writing."};
inline constexpr Fault kAttachedShared{
    "capi.attached_shared", win32::kSharingViolation,
    "The disk is attached by a handle that is still open; this open asks for more than goes beside it."};
inline constexpr Fault kHandle{"capi.handle", win32::kInvalidHandle,
                               "The handle is not an open virtual disk."};
inline constexpr Fault kNotAVirtualDisk{"capi.not_a_virtual_disk", win32::kInvalidParameter,
                                        "The handle is not an open virtual disk (calls on attachments)."};
inline constexpr Fault kRight{"capi.right", win32::kAccessDenied,
                              "The handle was opened without the right that this call needs."};
inline constexpr Fault kInfoArguments{"capi.info_arguments", win32::kInvalidParameter,
                                      "A required pointer is NULL, or the information version is unknown."};
inline constexpr Fault kBufferSize{"capi.buffer_size", win32::kInsufficientBuffer,
                                   "The buffer is too small; the needed size was stored."};
inline constexpr Fault kNotDifferencing{"capi.not_differencing", win32::kVhdInvalidType,
                                        "Only a differencing disk has a parent."};
inline constexpr Fault kBlank{"capi.blank", win32::kVhdInvalidState,
                              "The file was opened with BLANK_FILE; it has no such property yet."};
inline constexpr Fault kNoMinimumSize{
    "capi.no_minimum_size", 0xC03A0026,
    "The disk holds no partition table from which a safe size could be computed."};
inline constexpr Fault kNotBuilt{"capi.not_built", win32::kCallNotImplemented,
                                 "This function is not built yet."};
inline constexpr Fault kContractName{"capi.contract_name", win32::kInvalidParameter,
                                     "The contract level is none of windows10, page2018, windows7."};

// CreateVirtualDisk.
inline constexpr Fault kCreateParametersNull{"capi.create.parameters_null", win32::kInvalidParameter,
                                             "Parameters is NULL."};
inline constexpr Fault kCreateOpenFlags{"capi.create.open_flags", win32::kInvalidParameter,
                                        "OpenFlags has bits that OpenVirtualDisk does not know."};
inline constexpr Fault kCreateParentAndSource{"capi.create.parent_and_source", win32::kInvalidParameter,
                                              "ParentPath and SourcePath are both given."};
inline constexpr Fault kCreateParentAndSize{"capi.create.parent_and_size", win32::kInvalidParameter,
                                            "ParentPath and MaximumSize are both given in version 1."};
inline constexpr Fault kCreateParentAndFull{"capi.create.parent_and_full", win32::kInvalidParameter,
                                            "ParentPath and FULL_PHYSICAL_ALLOCATION are both given."};
inline constexpr Fault kCreateSourceLimit{
    "capi.create.source_limit", win32::kInvalidParameter,
    "What limits a copy is given without the copy, or its flag without it."};
inline constexpr Fault kCreateLimitNotMember{"capi.create.source_limit_member", win32::kInvalidParameter,
                                             "SourceLimitPath names no member of the source's chain."};
inline constexpr Fault kCreateNotTracked{
    "capi.create.not_tracked", 0xC03A002A,
    "A copy is limited by a change tracking id, and the source tracks none."};
inline constexpr Fault kCreateNotBuilt{"capi.create.not_built", win32::kCallNotImplemented,
                                       "A flag or member asks for something that is not built yet."};
inline constexpr Fault kCreateHost{"capi.create.host", win32::kVirtualDiskLimitation,
                                   "The folder's files are compressed or encrypted by the file system."};

// AttachVirtualDisk, DetachVirtualDisk, and where disks are attached.
inline constexpr Fault kProviderFlags{"capi.provider_flags", win32::kInvalidParameter,
                                      "ProviderSpecificFlags is not 0."};
inline constexpr Fault kAttachFlagNeeds{
    "capi.attach.flag_needs", win32::kInvalidParameter,
    "A flag of AttachVirtualDisk is given without the one that it needs."};
inline constexpr Fault kAttachRange{"capi.attach.range", win32::kInvalidParameter,
                                    "The restricted range is not whole sectors within the disk."};
inline constexpr Fault kAttachSinglePartition{
    "capi.attach.single_partition", win32::kInvalidParameter,
    "SINGLE_PARTITION names no range: the disk has none or several."};
inline constexpr Fault kAttachIso{"capi.attach.iso", win32::kNotSupported,
                                  "ISO images attach with READ_ONLY, and never with NO_LOCAL_HOST."};
inline constexpr Fault kAttachRawPermanent{
    "capi.attach.raw_permanent", win32::kNotSupported,
    "A disk attached with NO_LOCAL_HOST lives no longer than its handle."};
inline constexpr Fault kAttachNoParents{"capi.attach.no_parents", win32::kVhdInvalidState,
                                        "A differencing disk without its parents cannot be attached."};
inline constexpr Fault kAttachedAlready{"capi.attached_already", win32::kSharingViolation,
                                        "The disk is attached already."};
inline constexpr Fault kFileReplaced{"capi.file_replaced", win32::kFileInvalid,
                                     "The file at the handle's path is no longer the one that was opened."};
inline constexpr Fault kNotAttached{"capi.not_attached", win32::kNotFound, "The disk is not attached."};
inline constexpr Fault kNoDevice{"capi.no_device", win32::kDevNotExist,
                                 "The disk is not attached as a device of this host."};
inline constexpr Fault kPathArguments{"capi.path_arguments", win32::kInvalidParameter,
                                      "A pointer that receives a path or its size is NULL."};
inline constexpr Fault kDependencyArguments{
    "capi.dependency.arguments", win32::kInvalidParameter,
    "The structure is NULL or too small for its head, or its version or a flag is unknown."};
inline constexpr Fault kDependencyNone{"capi.dependency.none", win32::kVirtdiskNotVirtualDisk,
                                       "The object does not lie on a virtual disk."};

// ReadFile, WriteFile and FlushFileBuffers.
inline constexpr Fault kNotRaw{"capi.raw.not_attached", win32::kBadCommand,
                               "The handle's disk is not attached with NO_LOCAL_HOST."};
inline constexpr Fault kRawArguments{
    "capi.raw.arguments", win32::kInvalidParameter,
    "The buffer or the OVERLAPPED is NULL, or the range is not whole sectors."};
inline constexpr Fault kRawEnd{"capi.raw.end", win32::kHandleEof,
                               "The range begins behind the end of the disk."};
inline constexpr Fault kRawReadOnly{"capi.raw.read_only", win32::kWriteProtect,
                                    "The disk is attached read-only."};

// Events, waiting, and operations with an OVERLAPPED.
inline constexpr Fault kEventHandle{"capi.event.handle", win32::kInvalidHandle,
                                    "The handle, or the hEvent of an OVERLAPPED, is not an open event."};
inline constexpr Fault kEventName{"capi.event.name", win32::kNotSupported,
                                  "A name is given; events have none here."};
inline constexpr Fault kWaitHandle{"capi.wait.handle", win32::kInvalidHandle,
                                   "A handle to wait for is neither an open event nor an open virtual disk."};
inline constexpr Fault kWaitArguments{
    "capi.wait.arguments", win32::kInvalidParameter,
    "A wait is for no handle, for more than 64, or for all of several that are not all different."};
inline constexpr Fault kOverlappedArguments{
    "capi.overlapped.arguments", win32::kInvalidParameter,
    "The OVERLAPPED or the pointer that receives the answer is NULL."};
inline constexpr Fault kOverlappedRunning{"capi.overlapped.running", win32::kIoIncomplete,
                                          "The operation has not ended."};
inline constexpr Fault kOperationUnknown{"capi.overlapped.unknown", win32::kNotFound,
                                         "No operation on the handle was given this OVERLAPPED."};
inline constexpr Fault kNothingToCancel{"capi.overlapped.nothing_to_cancel", win32::kNotFound,
                                        "No operation on the handle can be cancelled."};

inline constexpr const Fault* kCapi[] = {&kStorageTypeNull,
                                         &kPathNull,
                                         &kHandleNull,
                                         &kAccessMask,
                                         &kVersion,
                                         &kFlags,
                                         &kAccessMaskNotNone,
                                         &kPathText,
                                         &kProvider,
                                         &kIsoContract,
                                         &kIsoVersion,
                                         &kIsoFlags,
                                         &kIsoAccess,
                                         &kHostCompressed,
                                         &kHostEncrypted,
                                         &kHostLoopbackShare,
                                         &kAttachedNeedsDetach,
                                         &kAttachedReadOnly,
                                         &kAttachedShared,
                                         &kHandle,
                                         &kNotAVirtualDisk,
                                         &kRight,
                                         &kInfoArguments,
                                         &kBufferSize,
                                         &kNotDifferencing,
                                         &kBlank,
                                         &kNoMinimumSize,
                                         &kNotBuilt,
                                         &kContractName,
                                         &kCreateParametersNull,
                                         &kCreateOpenFlags,
                                         &kCreateParentAndSource,
                                         &kCreateParentAndSize,
                                         &kCreateParentAndFull,
                                         &kCreateSourceLimit,
                                         &kCreateLimitNotMember,
                                         &kCreateNotTracked,
                                         &kCreateNotBuilt,
                                         &kCreateHost,
                                         &kProviderFlags,
                                         &kAttachFlagNeeds,
                                         &kAttachRange,
                                         &kAttachSinglePartition,
                                         &kAttachIso,
                                         &kAttachRawPermanent,
                                         &kAttachNoParents,
                                         &kAttachedAlready,
                                         &kFileReplaced,
                                         &kNotAttached,
                                         &kNoDevice,
                                         &kPathArguments,
                                         &kDependencyArguments,
                                         &kDependencyNone,
                                         &kNotRaw,
                                         &kRawArguments,
                                         &kRawEnd,
                                         &kRawReadOnly,
                                         &kEventHandle,
                                         &kEventName,
                                         &kWaitHandle,
                                         &kWaitArguments,
                                         &kOverlappedArguments,
                                         &kOverlappedRunning,
                                         &kOperationUnknown,
                                         &kNothingToCancel};

}  // namespace vdisk::capi::faults
