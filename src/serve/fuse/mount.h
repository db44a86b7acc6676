// SPDX-License-Identifier: Apache-2.0
//
// Connections to the kernel's FUSE, and where what they serve is seen. All mounts are nosuid, nodev and check
// permissions in the kernel.
#pragma once

#include <vdisk/error.h>

#include <string>

#include "base/unique_fd.h"

namespace vdisk::serve {

struct FuseConnection {
  UniqueFd device;  ///< /dev/fuse; whoever holds it keeps the connection alive.
  UniqueFd
      mount;  ///< The mounted folder: files are opened relative to it. None where it has a place of its own.
};

/// A mount that no path leads to; it goes when `mount` and everything opened through it are closed. Needs
/// root. Opening its files waits until someone serves. Fails with fuse.unavailable (50), fuse.mount_refused
/// (5).
Result<FuseConnection> connect_hidden(bool read_only);

/// Mounts at `folder`: with mount(2) as root, with fusermount3 for others. Fails with fuse.mount_point (3)
/// when it cannot be a mount point, fuse.mount_refused (5), fuse.unavailable (50). `source` is what lists of
/// mounts show. `shared`: processes of other users, and setuid ones, are let in, where users_may_share().
Result<FuseConnection> mount_at(const std::string& folder, const std::string& source, bool read_only,
                                bool shared = false);

/// Whether /etc/fuse.conf lets users show what they mount to others ("user_allow_other").
bool users_may_share();

/// Unmounts `folder`; with `even_if_busy` it is gone at once for everyone who does not use it yet. Fails with
/// fuse.mount_busy (170) while something in it is in use, fuse.mount_point (3) when nothing of ours is
/// mounted there, fuse.mount_refused (5).
Status unmount(const std::string& folder, bool even_if_busy = false);

/// The number of the connection that is mounted at `folder`, which is given as any path: its device's minor
/// number, as fusectl names it. Never waits for a server. Fails with fuse.mount_point (3) when no mount of
/// ours begins there.
Result<unsigned> connection_at(const std::string& folder);
/// The same of a file or folder that was opened through it.
Result<unsigned> connection_of(int mounted_file);
/// Fails every request of the connection with EIO at once, answered or not, as /sys/fs/fuse/connections
/// offers it; mounts that file system if nobody has. Needs root. Fails with fuse.mount_refused (5).
Status abort_connection(unsigned connection);

}  // namespace vdisk::serve
