// SPDX-License-Identifier: Apache-2.0
//
// The process beside a keeper: whichever of the two is killed, the other one replaces. It serves the disk
// where somebody must (worker.h); else it does nothing but wait.
#pragma once

#include <sys/types.h>
#include <vdisk/error.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>

#include "attach/estate.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

/// How often the killed may be replaced: what kills each of them must not go on for ever.
class RestartLimit {
 public:
  bool allows_another();

 private:
  std::deque<std::chrono::steady_clock::time_point> times_;
};

/// A companion, as its keeper sees it.
struct Companion {
  pid_t process = 0;
  UniqueFd ended;   ///< Becomes readable when the process ends.
  UniqueFd socket;  ///< Its end stops the companion, unless that has an estate.

  /// Leaves a copy of all there is with it.
  void entrust(const Estate& estate) const noexcept { estate.send(socket.get()); }
  /// Makes it forget what it was left with, and with that its reason to look for a successor. False when it
  /// does not answer.
  bool release() const;
  /// Its own part of an estate; and out of one. Fails with attach.foreign_answer.
  void bequeath(Estate& estate) const;
  static Result<Companion> inherit(Estate& estate);
};

/// Forks a companion, which does `work` with its end of the socket and ends. REQUIRES: one thread.
Result<Companion> start_companion(const std::string& image, const std::function<void(int socket)>& work);
/// One that does nothing but stand by.
Result<Companion> start_idle_companion(const std::string& image);

/// Waits for a companion that is ending, and returns what it says last. Fails with attach.server_died when it
/// was killed before it said anything. Nothing to wait for is fine.
Status await_companion(Companion& companion);

/// The companion's side. Returns when it is to stop. When the keeper is killed, starts another one, with what
/// was entrusted last, and goes on with that. `socket` keeps its number. A companion that ends by itself sets
/// `over` and shuts the socket for reading.
void stand_by(int socket, const std::atomic<bool>& over);

}  // namespace vdisk::attach
