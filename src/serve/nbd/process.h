// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk::serve::nbd {

/// A child process. Ends with its owner: destruction asks it to end (SIGTERM) and waits. Thread rule: one
/// thread.
class Process {
 public:
  struct Start {
    std::vector<std::string> arguments;    ///< The first is the program's path.
    std::vector<std::string> environment;  ///< "NAME=value", before what this process has.
    int listening = -1;      ///< A socket to hand over as systemd does: descriptor 3, LISTEN_FDS.
    bool own_group = false;  ///< Keys pressed at the terminal are not for it.
  };
  /// Fails with nbd.server_failed when the system has no room for a process; a program that cannot be run
  /// ends with 127.
  static Result<Process> start(const Start& how);

  Process(Process&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), ended_(std::move(other.ended_)), status_(other.status_) {}
  Process& operator=(Process&&) = delete;
  ~Process();

  /// The exit status, 128 and the signal's number for one that a signal ended; unset while it runs. Waits at
  /// most `milliseconds`, and no longer than until this process gets a signal.
  std::optional<int> wait(int milliseconds);
  void signal(int number) noexcept;

 private:
  explicit Process(pid_t pid) noexcept;
  pid_t pid_;
  UniqueFd ended_;  // readable once it has ended; none on kernels before 5.3
  std::optional<int> status_;
};

/// The path of a program, looked for where the shell would.
std::optional<std::string> find_program(const std::string& name);

}  // namespace vdisk::serve::nbd
