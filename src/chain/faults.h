// SPDX-License-Identifier: Apache-2.0
//
// A damaged or locked parent keeps the fault and code of its own file (0xC03A000A, 1392, 32, …) and gains
// context frames, because they say what is wrong; the vague 0xC03A0019
// (ERROR_VHD_DIFFERENCING_CHAIN_ERROR_IN_PARENT) would hide it. Which of the two Windows returns is
// unverified.
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::chain::faults {

inline constexpr Fault kParentNotFound{"chain.parent_not_found", win32::kVhdParentVhdNotFound,
                                       "None of the places where the parent may be holds it."};
inline constexpr Fault kIdentityMismatch{
    "chain.identity_mismatch", win32::kVhdChildParentIdMismatch,
    "A file lies where the parent should be, but its identifier is not the one that the child records."};
inline constexpr Fault kParentAccessDenied{"chain.parent_access_denied", win32::kVhdParentVhdAccessDenied,
                                           "The operating system refuses access to the parent."};
inline constexpr Fault kCycle{"chain.cycle", win32::kVhdDifferencingChainCycleDetected,
                              "An image is, directly or through others, its own parent."};
// Windows has no code for a chain that is merely too long; that of an endless one comes closest.
inline constexpr Fault kTooDeep{"chain.too_deep", win32::kVhdDifferencingChainCycleDetected,
                                "The chain has more files than the limit allows."};
// Equal logical sectors are demanded by MS-VHDX 2.6.2.4; the code for a mismatch is our choice (unverified).
inline constexpr Fault kSectorSize{"chain.sector_size", win32::kVirtdiskUnsupportedDiskSectorSize,
                                   "Child and parent have different logical sector sizes."};

inline constexpr const Fault* kAll[] = {&kParentNotFound, &kIdentityMismatch, &kParentAccessDenied,
                                        &kCycle,          &kTooDeep,          &kSectorSize};

}  // namespace vdisk::chain::faults
