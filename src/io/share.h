// SPDX-License-Identifier: Apache-2.0
//
// Bytes that two files of one file system hold in common (btrfs, xfs, bcachefs: "reflink"), so that a copy
// moves none.
#pragma once

#include <cstdint>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk {

/// What offsets and lengths of share_range are multiples of.
inline constexpr std::uint64_t kShareUnitBytes = 4096;

/// Makes [to_at, to_at + length) of `to` the same blocks as `from_at` on of `from`, copied when either is
/// written. False, with nothing changed, where that cannot be done; the caller copies, and meets what errors
/// there are.
bool share_range(File& from, FileOffset from_at, File& to, FileOffset to_at, std::uint64_t length) noexcept;

/// Finds out whether `empty`, a new file, can share blocks with `from`; leaves it empty.
Result<bool> can_share(File& from, File& empty);

}  // namespace vdisk
