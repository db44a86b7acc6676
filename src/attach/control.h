// SPDX-License-Identifier: Apache-2.0
//
// The socket beside a record, over which anyone who may asks the attachment's server to end.
#pragma once

#include <sys/types.h>
#include <vdisk/error.h>

#include <string_view>

#include "attach/registry.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

inline constexpr std::string_view kDetachCommand = "detach";
inline constexpr std::string_view kForceCommand = "detach-force";
/// Answers with the attachment as it is, after what the partition table has gone through.
inline constexpr std::string_view kShowCommand = "show";
/// Gives the attachment to the program that the field "program" names.
inline constexpr std::string_view kRestartCommand = "restart";
/// How long either side waits for the other to send what is ready to be sent.
inline constexpr int kControlMilliseconds = 2000;

/// Server: listens beside its record, 0600.
Result<UniqueFd> listen_beside(const PublishedRecord& record);
/// Server: the next client, if it is root or this user.
UniqueFd accept_control(int listening);

/// Client: connects to the server of a record. `server` becomes its process, as the kernel knows it.
Result<UniqueFd> connect_control(const FoundRecord& record, pid_t& server);

}  // namespace vdisk::attach
