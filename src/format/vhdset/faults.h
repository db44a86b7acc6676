// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::vhdset::faults {

inline constexpr Fault kUnknownLayout{
    "vhdset.unknown_layout", win32::kVhdFormatUnknown,
    "The file is a VHD Set by name; the layout of foreign VHD Sets is not public."};

inline constexpr const Fault* kAll[] = {&kUnknownLayout};

}  // namespace vdisk::vhdset::faults
