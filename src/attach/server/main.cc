// SPDX-License-Identifier: Apache-2.0
//
// vdisk-server: the process that holds one attachment. Started by Attachment::attach with a socket as
// descriptor 3; not for people.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <new>

#include "attach/server/keeper.h"

namespace {

constexpr int kClient = 3;

bool is_socket(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/// Nothing of whoever started us: no terminal, folder, descriptors, or signal settings.
void become_daemon() {
  ::setsid();
  // One that was started by a companion has the name of the link that this was done by.
  ::prctl(PR_SET_NAME, "vdisk-server", 0, 0, 0);
  static_cast<void>(::chdir("/"));
  ::umask(077);
  ::close_range(kClient + 1, ~0U, 0);
  ::fcntl(kClient, F_SETFD, FD_CLOEXEC);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGHUP, SIGINT}) ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

int main() {
  if (!is_socket(kClient)) {
    std::fputs("vdisk-server holds attached disks for 'vdisk attach'; it is not started by hand\n", stderr);
    return 2;
  }
  // Whoever started us waits for this process, and the attachment outlives it.
  const pid_t child = ::fork();
  if (child != 0) return child < 0 ? 1 : 0;
  become_daemon();
  try {
    return vdisk::attach::keep(vdisk::UniqueFd(kClient));
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
