// SPDX-License-Identifier: Apache-2.0
#include "cli/run_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk::cli {

std::string find_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  const std::string folders = std::string(path == nullptr ? "/usr/bin:/bin" : path) + ":/usr/sbin";
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string program = fmt::format("{}/{}", folders.substr(begin, end - begin), name);
    if (end != begin && ::access(program.c_str(), X_OK) == 0) return program;
    begin = end + 1;
  }
  return {};
}

int run_program(std::vector<std::string> words, std::string& said) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return 127;
  const UniqueFd ours(pipe[0]);
  UniqueFd theirs(pipe[1]);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string locale = "LC_ALL=C";
  std::vector<char*> environment = {locale.data()};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("LC_ALL=")) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDERR_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  theirs.reset();
  if (error != 0) {
    said = errno_text(error);
    return 127;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // A driver that goes on in the background may keep the pipe open: only what is there is taken.
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  std::array<char, 4096> buffer{};
  const ssize_t got = ::read(ours.get(), buffer.data(), buffer.size());
  if (got > 0) said.assign(buffer.data(), static_cast<std::size_t>(got));
  while (said.ends_with('\n')) said.pop_back();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

}  // namespace vdisk::cli
