// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>

#include "base/fault.h"
#include "cli/tool.h"

namespace {

// What a signal handler may touch: made before the handler is set, and never destroyed.
const vdisk::CancellationToken* cancellation = nullptr;

extern "C" void on_signal(int) { cancellation->cancel(); }

void set_signals() {
  // A closed pipe and a file-size limit are errors of the write, told as such.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  for (const int number : std::array{SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now{};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler == SIG_IGN) continue;  // nohup, or a job in the background
    struct sigaction action{};
    action.sa_handler = on_signal;
    // Once: who interrupts twice means it.
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  static const vdisk::CancellationToken token;
  cancellation = &token;
  set_signals();
  try {
    vdisk::cli::Output out(STDOUT_FILENO);
    vdisk::cli::Session session{out, token};
    const std::span<char* const> arguments(argv, static_cast<std::size_t>(argc));
    const int status = vdisk::cli::run_tool(arguments.subspan(argc > 0 ? 1 : 0), session);
    out.flush();
    if (out.failure() == 0) return status;
    vdisk::cli::print_message("writing to standard output: " + vdisk::errno_text(out.failure()));
    return status == 0 ? vdisk::cli::kFailed : status;
  } catch (const std::bad_alloc&) {
    vdisk::cli::print_message("out of memory");
    return vdisk::cli::kFailed;
  }
}
