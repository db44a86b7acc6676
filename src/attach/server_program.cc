// SPDX-License-Identifier: Apache-2.0
#include "attach/server_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "attach/faults.h"
#include "attach/message.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

constexpr const char* kName = "vdisk-server";
constexpr int kServerEnd = 3;
/// A program that does not take over an attachment in this time does not know how to.
constexpr int kHandOverMilliseconds = 10'000;

}  // namespace

Result<std::string> find_server() {
  std::string looked;
  const auto good = [&looked](const std::string& path) {
    looked += (looked.empty() ? "" : ", ") + path;
    return ::access(path.c_str(), X_OK) == 0;
  };
  if (const char* named = ::secure_getenv("VDISK_SERVER"); named != nullptr) {
    if (good(named)) return named;
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    std::string beside = self.parent_path() / kName;
    if (good(beside)) return beside;
  }
  std::string installed = std::string(VDISK_LIBEXEC_FOLDER) + "/" + kName;
  if (good(installed)) return installed;
  return fail(faults::kNoServer,
              "the program {} is not there (looked for {}); install the package vdisk, or set VDISK_SERVER",
              kName, looked);
}

namespace {

/// Spawns the program with `socket` as descriptor 3 and nothing else; errno of the failure.
int spawn(const std::string& program, int socket, pid_t& child) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&actions, standard, "/dev/null", O_RDWR, 0);
  }
  ::posix_spawn_file_actions_adddup2(&actions, socket, kServerEnd);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = kName;
  std::array<char*, 2> arguments = {name.data(), nullptr};
  const int error = ::posix_spawn(&child, program.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

/// Starts `program`; this end of a socket to it.
Result<UniqueFd> start_program(const std::string& program) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail_errno(faults::kNoServer, errno, "making a socket for {}", program);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  // dup2 onto itself would keep the close-on-exec flag.
  if (theirs.get() == kServerEnd) theirs = UniqueFd(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, kServerEnd + 1));
  pid_t child = 0;
  if (const int error = spawn(program, theirs.get(), child); error != 0) {
    return fail_errno(faults::kNoServer, error, "starting {}", program);
  }
  // It forks the process that stays, and ends.
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return ours;
}

}  // namespace

Result<UniqueFd> start_server() { return start_program(VDISK_TRY(find_server())); }

Status hand_over(const Estate& estate, const std::string& program) {
  const UniqueFd successor = VDISK_TRY(start_program(program));
  // One that is gone already is found out by its silence.
  estate.send(successor.get());
  const Fields answer = VDISK_TRY(receive_message(successor.get(), kHandOverMilliseconds));
  if (answer.has("error")) return std::unexpected(parse_error(answer));
  return {};
}

}  // namespace vdisk::attach
