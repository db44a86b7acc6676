// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "capi/contract.h"
#include "io/file.h"

namespace vdisk::capi {

/// Windows' rules about the place where a file lies: compressed 618, encrypted 6002, on a share that this
/// very host serves 665 (virtdisk-api.md 3.1, 7 T15-T17), each with its SUPPORT_* flag. Nothing on Linux
/// breaks in these places, so only the C API refuses them.
Status check_host_rules(File& file, std::uint32_t flags, const Contract& contract);

}  // namespace vdisk::capi
