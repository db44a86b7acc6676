// SPDX-License-Identifier: Apache-2.0
//
// What is mounted at a folder.
#pragma once

#include <vdisk/error.h>

#include <optional>
#include <string>

#include "io/host_volume.h"

namespace vdisk::cli {

/// The topmost mount that begins at the folder, which is given as any path; unset when none does. Asks no
/// file system's server. Fails with attach.mount_refused when there is no such folder.
Result<std::optional<MountEntry>> mounted_at(const std::string& folder);

}  // namespace vdisk::cli
