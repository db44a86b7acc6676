// SPDX-License-Identifier: Apache-2.0
//
// One writer or many readers per image file, across processes and across programs: open file description
// (OFD) locks on the bytes that QEMU's image locking uses (QEMU, docs/system/qemu-block-drivers "Disk image
// file locking" and block/file-posix.c). A read lock on byte 100+p says "I use permission p"; a read lock on
// byte 200+p says "I do not let others use p". Who wants p looks for a lock on 200+p; who forbids p looks for
// one on 100+p. All locks are shared ones and are set before anyone looks, so of two who race at worst both
// give up, and never both go on.
#pragma once

#include <vdisk/control.h>
#include <vdisk/error.h>

#include <string>

namespace vdisk {

enum class LockRole {
  kReader,  ///< Excludes writers.
  kWriter,  ///< Excludes writers and readers; QEMU's `--force-share` readers alone pass.
};

/// Takes the lock for `role` on `fd`, which holds it until it is closed. Fails with io.locked (32) when
/// someone else's lock is in the way. A file system without locks is told to `trace` as a warning and is no
/// failure.
Status lock_image_file(int fd, const std::string& name, LockRole role, const TraceSink& trace);

}  // namespace vdisk
