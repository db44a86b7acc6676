// SPDX-License-Identifier: Apache-2.0
//
// The devices of an attachment, of whatever provider.
#pragma once

#include <vdisk/error.h>

#include <string>

#include "attach/block_nodes.h"
#include "io/file.h"

namespace vdisk::attach {

/// Whether the device at `node` still is the one of an attachment with that backing.
DeviceState device_state(const std::string& node, FileIdentity backing);

/// Whether this process may make devices of any kind: attach.no_privilege or attach.no_loop if not.
Status may_attach();

}  // namespace vdisk::attach
