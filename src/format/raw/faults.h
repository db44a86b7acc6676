// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::raw::faults {

inline constexpr Fault kSize{"raw.size", win32::kVhdInvalidSize,
                             "A raw disk's length is not a positive multiple of 512 bytes."};

inline constexpr const Fault* kAll[] = {&kSize};

}  // namespace vdisk::raw::faults
