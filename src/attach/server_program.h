// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/error.h>

#include <string>

#include "attach/estate.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

/// The path of vdisk-server: VDISK_SERVER (ignored in setuid programs), beside the running program, or where
/// it is installed. Fails with attach.no_server.
Result<std::string> find_server();

/// Starts vdisk-server and returns the socket to it. The server is no child of this process. Fails as
/// find_server.
Result<UniqueFd> start_server();

/// Starts `program`, a vdisk-server, as the keeper of what `estate` holds, and returns when it is that. Fails
/// with what it says, attach.no_server, and attach.server_died when it ends or says nothing; it has changed
/// nothing then.
Status hand_over(const Estate& estate, const std::string& program);

}  // namespace vdisk::attach
