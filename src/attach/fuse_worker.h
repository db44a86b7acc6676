// SPDX-License-Identifier: Apache-2.0
//
// The process that serves one image through FUSE. It is forked by the keeper before that has any threads.
#pragma once

#include <sys/types.h>
#include <vdisk/error.h>

#include <string>

#include "attach/message.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

/// A worker, as the keeper sees it.
struct Worker {
  pid_t process = 0;
  UniqueFd ended;   ///< Becomes readable when the process ends.
  UniqueFd socket;  ///< Its end stops the worker, which then closes the image and says so.
};

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
Result<Worker> start_worker(const WorkerTask& task);

/// Waits for a worker that is ending, and returns how closing the image went. Fails with attach.server_died
/// when it ended in another way.
Status await_worker(Worker& worker);

}  // namespace vdisk::attach
