// SPDX-License-Identifier: Apache-2.0
//
// The companion that serves one image through FUSE. It is forked by the keeper, which has no threads.
#pragma once

#include <vdisk/error.h>

#include <string>

#include "attach/companion.h"
#include "attach/message.h"

namespace vdisk::attach {

/// What every worker of one attachment serves. The keeper holds the image's lock, which so outlives its
/// workers; they take none.
struct WorkerTask {
  const AttachRequest& request;
  std::string file_name;  ///< Of the one file of the FUSE folder.
  DiskRange range;
  int device = -1;   ///< The connection, /dev/fuse.
  int intents = -1;  ///< The memory of what no flush covers yet (format/intent_memory.h); -1 when read-only.
  bool resume = false;  ///< The worker before this one was killed.
};

/// Forks a worker and waits until it has opened the image. Fails as Disk::open. REQUIRES: one thread.
Result<Companion> start_worker(const WorkerTask& task);

}  // namespace vdisk::attach
