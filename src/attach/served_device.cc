// SPDX-License-Identifier: Apache-2.0
#include "attach/served_device.h"

#include <sys/socket.h>

#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

Status ServedDevice::renew() {
  worker_.release();
  ::shutdown(worker_.socket.get(), SHUT_WR);
  const Status ended = await_companion(worker_);
  if (!ended) return replace(ended);
  // All is flushed; a successor of another version might not know this memory.
  intents_ = VDISK_TRY(make_intents(read_only()));
  return replace(fail(faults::kServerDied, "{}: no successor for what served it", request_.path));
}

/// One may be killed, too, even before it has begun.
Status ServedDevice::replace(Status ended) {
  worker_ = {};
  while (!ended && (ended.error().id() == faults::kServerDied.id || is_disconnected(ended.error())) &&
         limit_.allows_another()) {
    ended = start_successor();
    if (ended) {
      entrust_again();
      return {};
    }
    worker_ = {};
  }
  give_up();
  return ended ? fail(faults::kServerDied, "{}: the process that served the image ended", request_.path)
               : ended;
}

Status ServedDevice::remove() {
  // The worker serves the device until that is gone.
  const bool answers = worker_.socket && worker_.release();
  const Status gone = remove_device();
  Status closed;
  if (worker_.socket) {
    // Where the device stays in use, it goes under its users' feet.
    if (!gone || !answers) ::shutdown(worker_.socket.get(), SHUT_WR);
    closed = await_companion(worker_);
  }
  // Before anybody hears that it is gone: then the image is free.
  files_.clear();
  if (!gone) return gone;
  return !closed && is_disconnected(closed.error()) ? Status{} : closed;
}

void ServedDevice::bequeath(Estate& estate) const {
  for (const UniqueFd& file : files_) estate.add("file", file.get());
  estate.add("device", fd());
  estate.add("intents", intents_.get());
}

}  // namespace vdisk::attach
