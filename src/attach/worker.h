// SPDX-License-Identifier: Apache-2.0
//
// The companion that serves one image. It is forked by the keeper, which has no threads.
#pragma once

#include <vdisk/disk.h>
#include <vdisk/error.h>

#include <functional>

#include "attach/companion.h"
#include "attach/message.h"

namespace vdisk::attach {

/// The keeper, as what serves the disk in a worker sees it.
class KeeperSide {
 public:
  explicit KeeperSide(Fields& ready) noexcept : ready_(ready) {}

  /// Says that the image is open: start_worker() returns there.
  void say_ready();
  /// Waits for the open file that the keeper sends then (Estate, by the name "connection"). Fails as
  /// Estate::receive.
  Result<UniqueFd> receive_connection();
  /// Calls run(), and stop() from another thread when the keeper wants it to return. A keeper that is killed
  /// is replaced meanwhile.
  Status serve(const std::function<Status()>& run, const std::function<void()>& stop);

 private:
  Fields& ready_;
};

/// What every worker of one attachment serves. The keeper holds the image's lock, which so outlives its
/// workers; they take none.
struct WorkerTask {
  const AttachRequest& request;
  int connection = -1;  ///< What `serve` is given of the keeper's; -1: nothing.
  int intents = -1;  ///< The memory of what no flush covers yet (format/intent_memory.h); -1 when read-only.
  /// Serves until all is done; the caller closes the disk.
  std::function<Status(const Disk& disk, int connection, KeeperSide& keeper)> serve;
};

/// Forks a worker and waits until it has opened the image. Fails as Disk::open. REQUIRES: one thread.
Result<Companion> start_worker(const WorkerTask& task);

/// Memory for what no flush covers yet, for a keeper; none for a disk that is not written.
Result<UniqueFd> make_intents(bool read_only);

}  // namespace vdisk::attach
