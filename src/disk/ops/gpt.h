// SPDX-License-Identifier: Apache-2.0
//
// The GUID partition table of a disk whose size changes (UEFI specification 2.10, 5.3): its backup lies at
// the disk's end, so a disk that grew shows systems a table that is not where it should be.
#pragma once

#include <vdisk/disk.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/fault.h"
#include "disk/ops/content.h"
#include "filesystem/gpt.h"

namespace vdisk::ops {

using Gpt = filesystem::GptCopy;

/// The GPT in the disk's second logical sector; unset if there is none, or none with right checksums.
Result<std::optional<Gpt>> read_gpt(const Disk& disk);

/// What to write so that `gpt` fits a disk of `size` bytes: both headers, the backup entries, and the
/// protective MBR of `disk`, in ascending order. REQUIRES: the disk grew.
Result<std::vector<Patch>> move_backup_gpt(const Disk& disk, const Gpt& gpt, std::uint64_t size);

}  // namespace vdisk::ops
