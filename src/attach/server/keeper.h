// SPDX-License-Identifier: Apache-2.0
//
// The life of one attachment: from the client's request to the end of the device.
#pragma once

#include "base/unique_fd.h"

namespace vdisk::attach {

/// Reads a request from `client`, serves it until it is detached, and returns the process's exit status.
/// Owner of everything that the attachment consists of. REQUIRES: one thread; SIGTERM, SIGHUP and SIGINT are
/// blocked.
int keep(UniqueFd client);

}  // namespace vdisk::attach
