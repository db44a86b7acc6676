// SPDX-License-Identifier: Apache-2.0
//
// A file system of an image in a folder, by root: the image is attached, a partition chosen, and mounted by
// the kernel's driver, the mount helper that is installed, or a driver of the user's space.
#pragma once

#include <vdisk/attachment.h>

#include <cstdint>
#include <optional>
#include <string>

namespace vdisk::cli {

struct VolumeMount {
  std::string image;
  std::string folder;
  /// Unset: the only partition with a file system, else the largest one; the disk itself where it has no
  /// partitions.
  std::optional<std::uint32_t> partition;
  AttachOptions attach;
};

/// What was mounted, and why that.
struct MountedVolume {
  std::optional<AttachmentInfo> attachment;  ///< None where a user has mounted.
  std::string volume;                        ///< Its device node, or its name among the image's files.
  std::string file_system;
  std::string driver;  ///< "kernel", or the program.
  std::string reason;
};

/// Mounts nosuid and nodev; with `attach.read_only` also so that no journal is replayed. Fails as
/// Attachment::attach, with attach.no_partition, attach.no_file_system (which names the package that is
/// missing) and attach.mount_refused. Nothing stays attached then.
Result<MountedVolume> mount_volume(const VolumeMount& what);

/// True when what is mounted at `folder` is on an attached image.
Result<bool> is_mounted_volume(const std::string& folder);

/// Unmounts it and detaches the image. Fails with attach.mount_refused, with nothing changed, and as
/// detach().
Status unmount_volume(const std::string& folder);

}  // namespace vdisk::cli
