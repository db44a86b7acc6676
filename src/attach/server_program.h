// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/error.h>

#include "base/unique_fd.h"

namespace vdisk::attach {

/// Starts vdisk-server and returns the socket to it. Looked for in VDISK_SERVER (ignored in setuid programs),
/// beside the running program, and where it is installed. The server is no child of this process. Fails with
/// attach.no_server.
Result<UniqueFd> start_server();

}  // namespace vdisk::attach
