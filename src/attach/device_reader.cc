// SPDX-License-Identifier: Apache-2.0
#include "attach/device_reader.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace vdisk::attach {

DeviceReader::DeviceReader(int device, const std::function<int()>& work) : process_(::fork()) {
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_NAME, "vdisk-reader", 0, 0, 0);
    if (device > 0) ::close_range(0, static_cast<unsigned>(device) - 1, 0);
    ::close_range(static_cast<unsigned>(device) + 1, ~0U, 0);
    ::_exit(work());
  }
  if (started()) ended_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, process_, 0)));
}

int DeviceReader::finish() {
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = 0;
  ended_.reset();
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

}  // namespace vdisk::attach
