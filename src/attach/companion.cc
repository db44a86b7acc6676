// SPDX-License-Identifier: Apache-2.0
#include "attach/companion.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <optional>

#include "attach/faults.h"
#include "attach/message.h"
#include "attach/server_program.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

constexpr std::size_t kMostRestarts = 120;
constexpr std::chrono::minutes kRestartPeriod{1};
constexpr int kReleaseMilliseconds = 2000;
constexpr int kPauseMilliseconds = 50;

/// This program, whatever has become of its file.
constexpr const char* kThisProgram = "/proc/self/exe";

bool is_release(const Fields& message) { return message.has("release"); }

/// The keeper was killed. A successor gets a new socket to us, which takes the place of `socket`.
bool appoint_successor(const Estate& estate, int socket) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) return false;
  const UniqueFd theirs(pair[0]), ours(pair[1]);
  Companion us;
  us.process = ::getpid();
  us.ended = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  us.socket = UniqueFd(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
  Estate with_us = estate.copy();
  us.bequeath(with_us);
  if (!hand_over(with_us, kThisProgram)) return false;
  return ::dup3(ours.get(), socket, O_CLOEXEC) >= 0;
}

/// Nothing of the keeper's but `socket`, as descriptor 3.
void be_idle(int socket) noexcept {
  constexpr int kSocket = 3;
  if (socket != kSocket) ::dup3(socket, kSocket, O_CLOEXEC);
  ::close_range(kSocket + 1, ~0U, 0);
  ::prctl(PR_SET_NAME, "vdisk-standby", 0, 0, 0);
  try {
    stand_by(kSocket, /*over=*/false);
  } catch (const std::bad_alloc&) {
    ::_exit(1);
  }
  Fields last;
  last.add("done", true);
  send_message(kSocket, last);
}

}  // namespace

bool RestartLimit::allows_another() {
  const auto now = std::chrono::steady_clock::now();
  while (!times_.empty() && now - times_.front() > kRestartPeriod) times_.pop_front();
  times_.push_back(now);
  return times_.size() <= kMostRestarts;
}

bool Companion::release() const {
  Fields message;
  message.add("release", true);
  if (!send_message(socket.get(), message)) return false;
  const auto answer = receive_message(socket.get(), kReleaseMilliseconds);
  return answer && answer->has("released");
}

void Companion::bequeath(Estate& estate) const {
  estate.fields.add("companion", static_cast<std::uint64_t>(process));
  estate.add("companion", socket.get());
  estate.add("companion_ended", ended.get());
}

Result<Companion> Companion::inherit(Estate& estate) {
  Companion companion{
      .process = static_cast<pid_t>(estate.fields.number<std::uint32_t>("companion").value_or(0)),
      .ended = estate.take("companion_ended"),
      .socket = estate.take("companion")};
  if (companion.process != 0 && companion.ended && companion.socket) return companion;
  return fail(faults::kForeignAnswer, "an attachment was handed over without the process beside it");
}

Result<Companion> start_companion(const std::string& image, const std::function<void(int socket)>& work) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return fail_errno(faults::kServerDied, errno, "{}: no socket for the process beside its server", image);
  Companion companion{.process = 0, .ended = {}, .socket = UniqueFd(pair[0])};
  const UniqueFd theirs(pair[1]);
  companion.process = ::fork();
  if (companion.process < 0)
    return fail_errno(faults::kServerDied, errno, "{}: no process beside its server", image);
  if (companion.process == 0) {
    work(theirs.get());
    ::_exit(0);
  }
  companion.ended = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, companion.process, 0)));
  return companion;
}

Result<Companion> start_idle_companion(const std::string& image) { return start_companion(image, be_idle); }

Status await_companion(Companion& companion) {
  if (!companion.socket) return {};
  const auto last = receive_message(companion.socket.get(), -1);
  // One that came with an estate is no child of ours: somebody else buries it.
  pollfd ended{.fd = companion.ended.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  ::waitpid(companion.process, nullptr, WNOHANG);
  companion.ended.reset();
  if (!last) {
    return fail(
        faults::kServerDied,
        "the process that served the image was killed; the image is as after a power cut, and what was not "
        "flushed may be lost");
  }
  if (last->has("error")) return std::unexpected(parse_error(*last));
  return {};
}

void stand_by(int socket, const std::atomic<bool>& over) {
  std::optional<Estate> estate;
  RestartLimit limit;
  for (;;) {
    auto message = Estate::receive(socket, -1);
    if (message && is_release(message->fields)) {
      estate.reset();
      Fields answer;
      answer.add("released", true);
      send_message(socket, answer);
    } else if (message) {
      estate = *std::move(message);
    } else {
      if (!estate || over.load()) return;
      bool going_on = false;
      while (!going_on && limit.allows_another()) {
        going_on = appoint_successor(*estate, socket);
        if (!going_on) ::poll(nullptr, 0, kPauseMilliseconds);
      }
      if (!going_on) return;
    }
  }
}

}  // namespace vdisk::attach
