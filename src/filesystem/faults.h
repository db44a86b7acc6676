// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::filesystem::faults {

inline constexpr Fault kGptDamaged{
    "filesystem.gpt_damaged", win32::kFileCorrupt,
    "The disk says that it has a GUID partition table, but no copy of it is whole."};
inline constexpr Fault kExtendedChain{
    "filesystem.extended_chain", win32::kFileCorrupt,
    "The chain of logical partitions goes in a circle, leaves its extended partition, or breaks off."};
inline constexpr Fault kPartitionRange{"filesystem.partition_range", win32::kFileCorrupt,
                                       "A partition does not lie on the disk."};

inline constexpr const Fault* kAll[] = {&kGptDamaged, &kExtendedChain, &kPartitionRange};

}  // namespace vdisk::filesystem::faults
