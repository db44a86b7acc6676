// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/image_info.h>
#include <virtdisk.h>

#include <optional>

#include "base/fault.h"

namespace vdisk::capi {

/// The format that a storage type asks for; unset for DEVICE_UNKNOWN. Fails with capi.provider for vendors
/// and devices that no provider is known for.
Result<std::optional<FormatId>> wanted_format(const VIRTUAL_STORAGE_TYPE& type);

}  // namespace vdisk::capi
