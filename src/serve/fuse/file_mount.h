// SPDX-License-Identifier: Apache-2.0
//
// An image mounted as files: `disk.raw`, the whole disk, and `partitionN.raw` for each partition.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>

#include <functional>
#include <string>

namespace vdisk::serve {

struct FileMountOptions {
  OpenOptions open;  ///< `writable` says whether the files are.
  /// Programs that change their user while they run, as setuid ones do, may use the files too, if
  /// users_may_share() (mount.h). For folders that nobody else can reach.
  bool shared = false;
  /// Under what name unmount_files() finds the server; "" for one that finds it by the folder.
  std::string closing_name;
  /// Called once, when the folder can be used.
  std::function<void()> ready = [] {};
  /// When it is cancelled, the folder is unmounted and the image closed, whoever uses it.
  CancellationToken cancellation;
};

/// Opens the image, shows its files in `folder`, and returns when the folder is unmounted and the image
/// closed. Fails with the codes of Disk::open, of mount_at (mount.h) and of Disk::close; `ready` was not
/// called then, but in the last case.
/// **Durability:** an fsync of any of the files is Disk::flush; the image is closed cleanly at the end.
Status mount_as_files(const std::string& image, const std::string& folder, const FileMountOptions& options);

/// Unmounts `folder`, waits until the server has closed the image, and returns what it says. Fails with
/// fuse.mount_point (3) when no image is mounted there as files, fuse.mount_busy (170) with nothing changed,
/// fuse.closing (1117).
Status unmount_files(const std::string& folder);
/// The same where the server is known by the name that it was given; `folder` may also be what a driver shows
/// of its files.
Status unmount_files(const std::string& folder, const std::string& closing_name);

}  // namespace vdisk::serve
