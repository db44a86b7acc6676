// SPDX-License-Identifier: Apache-2.0
//
// The contract of AttachVirtualDisk as data, beside those of OpenVirtualDisk and CreateVirtualDisk.
#pragma once

#include <virtdisk.h>

#include <cstdint>
#include <optional>

#include "capi/contract.h"
#include "capi/open_handle.h"

namespace vdisk::capi {

/// The arguments of one AttachVirtualDisk call.
struct AttachRequest {
  std::uint32_t flags;
  std::uint32_t provider_flags;
  const ATTACH_VIRTUAL_DISK_PARAMETERS* parameters;

  bool has(std::uint32_t flag) const noexcept { return (flags & flag) != 0; }
  /// NULL parameters behave as version 1 (virtdisk-api.md 3.3).
  std::uint32_t version() const noexcept { return parameters == nullptr ? 1 : parameters->Version; }
};

/// Runs the table: first the arguments by themselves, then what the handle and its image allow. The first
/// rule that is broken is the error.
Status validate(const AttachRequest& request, const OpenHandle& handle, const Contract& contract);

/// The part of the disk that RESTRICTED_RANGE or SINGLE_PARTITION names; unset without them. Fails with
/// capi.attach.range and capi.attach.single_partition (87).
/// REQUIRES: the request is valid.
Result<std::optional<DiskRange>> shown_range(const AttachRequest& request, const Disk& disk);

}  // namespace vdisk::capi
