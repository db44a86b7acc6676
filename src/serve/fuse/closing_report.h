// SPDX-License-Identifier: Apache-2.0
//
// How whoever unmounts a folder learns whether the image behind it was closed cleanly: unmounting tells the
// server, but nothing comes back. So the server listens on a socket that is named after the connection, or
// as both have agreed, and what it has to say in the end goes to everyone who has called by then.
#pragma once

#include <vdisk/error.h>

#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace vdisk::serve {

/// The name for those who know nothing but the connection (mount.h).
std::string closing_name(unsigned connection);

/// The server's end. Thread rule: as a plain value.
class ClosingReport {
 public:
  /// Listens under `name` for those who unmount. A name that is taken is no failure: nobody is told then.
  explicit ClosingReport(std::string_view name) noexcept;
  /// Tells everyone who waits; of a server that ends without this, they hear nothing.
  void tell(const Status& closed) noexcept;

 private:
  UniqueFd socket_;
};

/// The other end. Calls before the folder is unmounted, and waits after it.
class ClosingWait {
 public:
  /// Only a server of this user's, or root's, is believed; root believes everyone's.
  explicit ClosingWait(std::string_view name) noexcept;
  /// True when a server listens.
  bool called() const noexcept { return static_cast<bool>(socket_); }
  /// Returns when the server has closed the image. Fails with fuse.closing (1117) with what it says, or when
  /// it ended without a word.
  Status wait(const std::string& folder);

 private:
  UniqueFd socket_;
};

}  // namespace vdisk::serve
