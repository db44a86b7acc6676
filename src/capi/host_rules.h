// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "capi/contract.h"
#include "io/host_volume.h"

namespace vdisk::capi {

/// Windows' rules about the place where a file lies: compressed 618, encrypted 6002, on a share that this very
/// host serves 665 (virtdisk-api.md 3.1, 7 T15-T17), the first two with their SUPPORT_* flags. Nothing on Linux
/// breaks in these places, so only the C API refuses them.
Status check_host_rules(const std::string& path, std::uint32_t flags, const Contract& contract,
                        const HostVolumeProbe& probe = probe_host_volume);

}  // namespace vdisk::capi
