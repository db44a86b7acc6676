// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::ops::faults {

inline constexpr Fault kPipeClosed{"convert.pipe_closed", win32::kBrokenPipe,
                                   "The reader of standard output went away before the last byte."};
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

inline constexpr const Fault* kAll[] = {&kPipeClosed, &kLinkTime, &kLinkSize, &kLinkStalePath, &kNotFollowed};

}  // namespace vdisk::ops::faults
