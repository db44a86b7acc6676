// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::disk::faults {

inline constexpr Fault kPastEnd{"disk.past_end", win32::kHandleEof,
                                "The range reaches past the end of the disk."};
inline constexpr Fault kParentNotOpen{
    "disk.parent_not_open", win32::kVhdParentVhdNotFound,
    "The data lies in a parent, and the image was opened without its parents."};
inline constexpr Fault kFileShrunk{"disk.file_shrunk", win32::kFileCorrupt,
                                   "The image file became shorter while it was open."};
inline constexpr Fault kUnmappedPath{
    "disk.unmapped_path", win32::kPathNotFound,
    "A Windows path was given, but nothing says which folder its drive or share is."};
inline constexpr Fault kNoLayer{"disk.no_layer", win32::kInvalidParameter,
                                "The chain has fewer layers than the one that was asked for."};

inline constexpr Fault kNotWritable{"disk.not_writable", win32::kWriteProtect,
                                    "The disk was not opened for writing, or was closed."};
inline constexpr Fault kUnaligned{"disk.unaligned", win32::kInvalidParameter,
                                  "A write does not begin and end at logical sectors."};
inline constexpr Fault kStaleTracking{"disk.stale_tracking", win32::kAccessDenied,
                                      "Hyper-V's change tracking files beside the image would become stale."};

inline constexpr const Fault* kAll[] = {&kPastEnd, &kParentNotOpen, &kFileShrunk, &kUnmappedPath,
                                        &kNoLayer, &kNotWritable,   &kUnaligned,  &kStaleTracking};

}  // namespace vdisk::disk::faults
