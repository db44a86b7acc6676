// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::ops::faults {

inline constexpr Fault kPipeClosed{"convert.pipe_closed", win32::kBrokenPipe,
                                   "The reader of standard output went away before the last byte."};
inline constexpr Fault kBelowSource{"convert.size.below_source", win32::kInvalidParameter,
                                    "The target would be smaller than what is to be put into it."};
inline constexpr Fault kUnlikeParent{"convert.size.unlike_parent", win32::kInvalidParameter,
                                     "The target's parent has another size than the source, and the format's "
                                     "children have their parent's."};
inline constexpr Fault kStreamKind{"convert.stream_kind", win32::kNotSupported,
                                   "An image of this kind cannot be written as a stream."};
inline constexpr Fault kDeviceKind{"convert.device.kind", win32::kInvalidParameter,
                                   "A block device takes raw bytes, and another kind of image is asked for."};
inline constexpr Fault kDeviceSmall{"convert.device.small", win32::kDiskFull,
                                    "The block device is smaller than the disk."};
inline constexpr Fault kAzureKind{"convert.azure", win32::kInvalidParameter,
                                  "Azure takes fixed VHDs only, and another kind is asked for."};
inline constexpr Fault kAzureFormat{"check.azure.format", win32::kInvalidParameter,
                                    "Azure takes fixed VHDs only; the image is of another kind."};
inline constexpr Fault kAzureSize{"check.azure.size", win32::kVhdInvalidSize,
                                  "The virtual size is no whole number of mebibytes."};
inline constexpr Fault kAzureRange{"check.azure.range", win32::kVhdInvalidSize,
                                   "The virtual size is outside what Azure takes, 20 MiB to 32 TiB."};
inline constexpr Fault kAzureLength{"check.azure.length", win32::kVhdInvalidFileSize,
                                    "The file is not exactly the disk and a footer long."};
inline constexpr Fault kAzureGpt{"check.azure.gpt", win32::kFileCorrupt,
                                 "The backup GPT does not lie in the disk's last sector."};
inline constexpr Fault kLinkTime{"check.link.time", win32::kVhdChildParentTimestampMismatch,
                                 "The parent file was modified after the child recorded its time."};
inline constexpr Fault kLinkSize{"check.link.size", win32::kVhdChildParentSizeMismatch,
                                 "Child and parent have different virtual sizes."};
inline constexpr Fault kLinkStalePath{
    "check.link.stale_path", win32::kVhdParentVhdNotFound,
    "A path that the child records for its parent leads nowhere, or to another file."};
inline constexpr Fault kNotFollowed{
    "check.link.not_followed", win32::kVhdDifferencingChainErrorInParent,
    "The chain could not be followed to its base, so that part of it was not checked."};

inline constexpr const Fault* kAll[] = {&kPipeClosed, &kBelowSource, &kUnlikeParent,  &kStreamKind,
                                        &kDeviceKind, &kDeviceSmall, &kAzureKind,     &kAzureFormat,
                                        &kAzureSize,  &kAzureRange,  &kAzureLength,   &kAzureGpt,
                                        &kLinkTime,   &kLinkSize,    &kLinkStalePath, &kNotFollowed};

}  // namespace vdisk::ops::faults
