// SPDX-License-Identifier: Apache-2.0
//
// The drivers of the user's space (FUSE) that mount a file system where the kernel cannot or may not.
#pragma once

#include <vdisk/error.h>

#include <string>
#include <string_view>

#include "cli/volume_choice.h"

namespace vdisk::cli {

struct DriverRow {
  std::string_view type;  ///< As libblkid names it.
  /// Options for the kernel's driver that keep it from replaying a journal.
  std::string_view kernel_read_only;
  std::string_view program;  ///< "" if there is none; it is run as PROGRAM VOLUME DIR -o OPTIONS.
  std::string_view package;  ///< Debian's.
  std::string_view options = {};
  std::string_view read_only_options = "ro";
  std::string_view user_options = {};  ///< Where the user is not root; {uid} and {gid} are theirs.
  std::string_view root_options = {};
  bool only_reads = false;
  bool only_root = false;
  /// It is setuid, and the kernel keeps such programs from a user's FUSE files but where the user has shared
  /// them: /etc/fuse.conf must allow it.
  bool needs_sharing = false;
};

/// The row for a type of file system, or null.
const DriverRow* driver_of(std::string_view type) noexcept;

/// Runs the driver on `volume`, a block device or a file, so that `folder` shows it. Fails with
/// attach.no_file_system (which names the package that is missing), attach.mount_refused with what the driver
/// said; nothing is mounted then.
Status run_driver(const DriverRow& driver, const Volume& volume, const std::string& folder, bool read_only);

}  // namespace vdisk::cli
