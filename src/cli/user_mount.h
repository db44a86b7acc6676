// SPDX-License-Identifier: Apache-2.0
//
// A file system of an image in a folder, by a user who is not root: a server of ours shows the image's files
// in a private folder, and a driver of the user's space (FUSE) shows one of them as what it holds. As soon as
// the driver has the file open, the private folder is taken away from all others; so the server lasts as long
// as the driver does, however that ends, and closes the image behind it.
#pragma once

#include <vdisk/error.h>

#include <string>
#include <utility>

#include "cli/volume_mount.h"
#include "serve/fuse/file_mount.h"

namespace vdisk::cli {

/// A folder that is its user's alone, with a place in it to mount at; both are removed at the end, if nothing
/// is mounted there. Its name is what `umount` finds the server by.
class PrivateFolder {
 public:
  /// Below $XDG_RUNTIME_DIR, or in /tmp. Fails with attach.mount_refused.
  static Result<PrivateFolder> make();
  ~PrivateFolder();
  PrivateFolder(PrivateFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  PrivateFolder& operator=(PrivateFolder&&) = delete;

  /// Where the image's files are shown.
  std::string files() const;
  /// For FileMountOptions.
  std::string closing_name() const;

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// Whether `folder` can be mounted at, before anything is started: attach.mount_refused if not.
Status can_be_mounted_at(const std::string& folder);

/// Mounts the volume of the image whose files are served in `served`, and hides these. Fails with
/// attach.no_partition, attach.no_file_system, attach.mount_refused; nothing is mounted then, and the image
/// is closed.
Result<MountedVolume> mount_served_volume(const VolumeMount& what, const PrivateFolder& served);

/// The closing name behind what is mounted at `folder`; "" when no such volume is.
Result<std::string> served_volume_at(const std::string& folder);

}  // namespace vdisk::cli
