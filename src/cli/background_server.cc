// SPDX-License-Identifier: Apache-2.0
#include "cli/background_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk::cli {

namespace {

/// Goes on as a server that no terminal can reach.
void leave_terminal() {
  ::setsid();
  static_cast<void>(::chdir("/"));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
}

int cannot_start(int error) {
  print_message("no server can be started: " + errno_text(error));
  return kFailed;
}

}  // namespace

// The server says what goes wrong until the folder can be used; the one that was called waits that long, and
// ends with its status.
int serve_behind(Session& session, bool json, const std::string& image, const std::string& folder,
                 serve::FileMountOptions options, bool until_unmounted) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return cannot_start(errno);
  UniqueFd from_server(pipe[0]), to_caller(pipe[1]);
  const pid_t server = ::fork();
  if (server < 0) return cannot_start(errno);
  if (server == 0) {
    from_server.reset();
    options.ready = [&] {
      session.out.flush();
      leave_terminal();
      if (until_unmounted) {
        for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::signal(number, SIG_IGN);
      }
      static_cast<void>(::write(to_caller.get(), "", 1));
      to_caller.reset();
    };
    const Status served = serve::mount_as_files(image, folder, options);
    const int status = served ? kFine : session.report(served.error(), json);
    session.out.flush();
    // Not by way of the caller, who has more to do.
    std::exit(status);
  }
  to_caller.reset();
  char byte = 0;
  ssize_t got;
  do {
    got = ::read(from_server.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return kFine;
  int status = 0;
  while (::waitpid(server, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  print_message("the server was killed before the folder could be used");
  return kFailed;
}

}  // namespace vdisk::cli
