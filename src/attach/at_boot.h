// SPDX-License-Identifier: Apache-2.0
//
// Attachments that come back at the next boot: one small file each in /var/lib/vdisk (VDISK_STATE_DIR), which
// `vdisk attach --at-boot-all`, run by the systemd unit, goes through.
#pragma once

#include <vdisk/error.h>

#include <string>
#include <vector>

#include "attach/message.h"

namespace vdisk::attach {

/// **Durability:** the file and its folder are flushed.
Status remember_at_boot(const AttachRequest& request);
/// Nothing happens where nothing is remembered.
Status forget_at_boot(const std::string& image_path);
/// Files that cannot be read are passed over.
std::vector<AttachRequest> remembered_at_boot();

}  // namespace vdisk::attach
