// SPDX-License-Identifier: Apache-2.0
//
// A file that an NBD server exports, through libnbd: whatever nbdkit can reach (a web server, ssh, S3, inside
// an archive) becomes a place where images lie. Only for URIs that a caller names himself, never for what an
// image records.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "io/file.h"

namespace vdisk {

/// "nbd://…", "nbds://…", "nbd+unix://…", "nbds+unix://…".
bool is_nbd_uri(std::string_view name) noexcept;

struct NbdOpen {
  bool writable = false;
  unsigned connections = 4;  ///< At most, where the server allows several.
  /// A server that is silent for longer is taken for dead: what waits for it, and all that follows, fails.
  std::chrono::milliseconds patience = std::chrono::seconds(30);
};

/// The export's size is the file's, and never changes. No locks: who else uses the export is the server's
/// business. libnbd is loaded when the first URI is opened. Fails with io.nbd.library where it is not there,
/// io.nbd.connect when there is no server or export, io.read_only for a read-only export that is to be
/// written.
Result<std::unique_ptr<File>> open_nbd_file(const std::string& uri, const NbdOpen& options);

}  // namespace vdisk
