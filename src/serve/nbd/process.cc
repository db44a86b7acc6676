// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "serve/nbd/faults.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace vdisk::serve::nbd {

namespace {

constexpr int kListenFd = 3;  // sd_listen_fds(3): the first descriptor that is handed over
constexpr std::string_view kListenPid = "LISTEN_PID=";
constexpr int kPollMilliseconds = 20;  // where the kernel cannot say when a process ends

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_of(const Process::Start& how) {
  std::vector<std::string> words = how.environment;
  if (how.listening >= 0) {
    words.emplace_back("LISTEN_FDS=1");
    words.push_back(std::string(kListenPid) + std::string(20, '\0'));
  }
  const std::size_t own = words.size();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view word = *entry;
    const std::string_view name = word.substr(0, std::min(word.find('=') + 1, word.size()));
    const auto same = [&](const std::string& other) { return other.starts_with(name); };
    if (std::none_of(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(own), same))
      words.emplace_back(word);
  }
  return words;
}

/// Writes the caller's process id behind the entry's '='. Only what may be called between fork and exec.
void write_pid(char* entry) noexcept {
  std::array<char, 20> digits;
  std::size_t count = 0;
  for (auto pid = static_cast<unsigned>(::getpid()); pid != 0; pid /= 10) {
    digits[count++] = static_cast<char>('0' + pid % 10);
  }
  char* to = entry + kListenPid.size();
  while (count != 0) *to++ = digits[--count];
}

/// In the child. Never returns.
[[noreturn]] void become(const Process::Start& how, char* const* arguments, char* const* environment,
                         char* listen_pid) noexcept {
  if (how.own_group) ::setpgid(0, 0);
  if (how.listening >= 0) {
    write_pid(listen_pid);
    // dup2 leaves the close-on-exec mark where both are the same.
    if (how.listening == kListenFd) ::fcntl(kListenFd, F_SETFD, 0);
    if (how.listening != kListenFd && ::dup2(how.listening, kListenFd) < 0) ::_exit(127);
  }
  ::execve(arguments[0], arguments, environment);
  ::_exit(127);
}

}  // namespace

Process::Process(pid_t pid) noexcept
    : pid_(pid), ended_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}

Result<Process> Process::start(const Start& how) {
  std::vector<std::string> words = how.arguments;
  std::vector<std::string> settings = environment_of(how);
  const std::vector<char*> arguments = pointers(words);
  const std::vector<char*> environment = pointers(settings);
  char* listen_pid = nullptr;
  for (std::string& word : settings) {
    if (word.starts_with(kListenPid)) listen_pid = word.data();
    if (listen_pid != nullptr) break;
  }
  const pid_t pid = ::fork();
  if (pid < 0)
    return fail_errno(faults::kServerFailed, errno, "{}: no process could be started", words.front());
  if (pid == 0) become(how, arguments.data(), environment.data(), listen_pid);
  return Process(pid);
}

Process::~Process() {
  if (pid_ < 0 || status_) return;
  signal(SIGTERM);
  while (!wait(-1)) {
  }
}

void Process::signal(int number) noexcept {
  if (!status_) ::kill(pid_, number);
}

std::optional<int> Process::wait(int milliseconds) {
  if (status_) return status_;
  pollfd poll{ended_.get(), POLLIN, 0};
  const bool told = static_cast<bool>(ended_);
  const bool short_step = !told && (milliseconds < 0 || milliseconds > kPollMilliseconds);
  ::poll(&poll, told ? 1 : 0, short_step ? kPollMilliseconds : milliseconds);
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return status_;
}

std::optional<std::string> find_program(const std::string& name) {
  const char* value = ::getenv("PATH");
  std::string_view rest = value != nullptr ? value : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string path = std::string(rest.substr(0, end)) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

}  // namespace vdisk::serve::nbd
