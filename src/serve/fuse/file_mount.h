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

}  // namespace vdisk::serve
