// SPDX-License-Identifier: Apache-2.0
//
// What a client and an attachment's server say to one another: fields, one message of a SOCK_SEQPACKET socket
// each.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/error.h>

#include <optional>
#include <string>

#include "attach/fields.h"

namespace vdisk::attach {

/// What the server is started with. Everything that depends on the client's folder is absolute.
struct AttachRequest {
  std::string path;
  AttachOptions options;  ///< All but `cow_file`, `at_boot` and `open.trace`, which are the client's.
};

Fields to_fields(const AttachRequest& request);
std::optional<AttachRequest> parse_request(const Fields& fields);

/// A failure as it travels, and as it arrives: the row is found again by its id.
Fields to_fields(const Error& error);
Error parse_error(const Fields& fields);

/// Sends one message. False when the other side is gone.
bool send_message(int socket, const Fields& message) noexcept;
/// Waits for one message, at most `milliseconds` (-1: without end). Fails with attach.server_died when the
/// other side is gone or silent, and with attach.foreign_answer for what is no message.
Result<Fields> receive_message(int socket, int milliseconds);

}  // namespace vdisk::attach
