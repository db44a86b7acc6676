// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "capi/contract.h"
#include "io/host_volume.h"

namespace vdisk::capi {

/// Windows' rules about the place where a file lies: compressed 618, encrypted 6002, on a share that this
/// very host serves 665 (virtdisk-api.md 3.1, 7 T15-T17), the first two with their SUPPORT_* flags. Nothing
/// on Linux breaks in these places, so only the C API refuses them.
Status check_host_rules(const std::string& path, std::uint32_t flags, const Contract& contract,
                        const HostVolumeProbe& probe = probe_host_volume);

/// The same for a file that is to be made at `path`, which takes its folder's compression and encryption:
/// refused with 0xC03A001A, what users of Windows see (virtdisk-api.md 1.10), unless
/// CREATE_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES is set.
Status check_host_rules_of_new_file(const std::string& path, std::uint32_t flags,
                                    const HostVolumeProbe& probe = probe_host_volume);

}  // namespace vdisk::capi
