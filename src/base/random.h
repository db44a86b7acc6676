// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/types.h>

#include <cstdint>

namespace vdisk {

/// A random (version 4) GUID from the operating system; never zero.
Guid random_guid() noexcept;
/// Random bits from the operating system.
std::uint64_t random_u64() noexcept;

}  // namespace vdisk
