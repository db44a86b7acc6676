// SPDX-License-Identifier: Apache-2.0
#include "attach/worker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <new>
#include <thread>

#include "attach/faults.h"
#include "base/fault.h"
#include "disk/impl.h"
#include "disk/intents.h"

namespace vdisk::attach {

namespace {

// Where the worker has its descriptors; whatever else the keeper has open is not its business.
constexpr int kSocket = 3;
constexpr int kConnection = 4;
constexpr int kIntents = 5;
/// Of the image file; beside the bytes that io/file_lock.h uses.
constexpr off_t kWorkerByte = 300;

void take_descriptors(int socket, int connection, int intents) {
  // By way of high numbers, so that none overwrites another.
  std::array<int, 3> high{};
  const std::array<int, 3> given = {socket, connection, intents};
  for (std::size_t i = 0; i < given.size(); ++i) {
    high[i] = given[i] < 0 ? -1 : ::fcntl(given[i], F_DUPFD_CLOEXEC, 64);
  }
  for (std::size_t i = 0; i < high.size(); ++i) {
    const int wanted = kSocket + static_cast<int>(i);
    ::close(wanted);
    if (high[i] >= 0) ::dup3(high[i], wanted, O_CLOEXEC);
  }
  ::close_range(kIntents + 1, ~0U, 0);
}

/// Memory that the kernel wants back may be memory that it gets only by writing to this disk, so this
/// process's own stays where it is, and its writes count as a disk's. As far as this process is allowed to.
void stay_in_memory() {
  static_cast<void>(::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

/// What a killed worker had given to the kernel (io_uring) may be on its way to the file even when the
/// process is gone; were it to arrive late, it would undo newer writes. The kernel keeps the open file until
/// then, and with it the lock that each worker takes here.
void outlast_predecessor(const Disk& disk) noexcept {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kWorkerByte;
  lock.l_len = 1;
  // Fails where nothing is written, and on file systems without locks.
  while (::fcntl(disk.impl().chain.leaf().file().fd(), F_OFD_SETLKW, &lock) != 0 && errno == EINTR) {
  }
}

Status serve(const WorkerTask& task) {
  Fields ready;
  OpenOptions open = task.request.options.open;
  open.trace = [&ready](TraceLevel level, std::string_view text) {
    if (level == TraceLevel::kWarning) ready.add("warning", text);
  };
  open.lock = LockMode::kNone;
  open.direct_io = true;
  // Outlives the disk, which writes to it.
  std::unique_ptr<IntentMemory> intents;
  Disk disk = VDISK_TRY(Disk::open(task.request.path, open));
  // Before a place that the predecessor freed is emptied for others.
  outlast_predecessor(disk);
  if (task.intents >= 0) {
    intents = VDISK_TRY(IntentMemory::open(UniqueFd(kIntents)));
    VDISK_TRY(keep_intents(disk, *intents));
  }
  KeeperSide keeper(ready);
  const Status served = task.serve(disk, task.connection < 0 ? -1 : kConnection, keeper);
  VDISK_TRY(disk.close());
  return served;
}

void work(const WorkerTask& task, int socket) noexcept {
  take_descriptors(socket, task.connection, task.intents);
  ::prctl(PR_SET_NAME, "vdisk-worker", 0, 0, 0);
  stay_in_memory();
  try {
    const Status served = serve(task);
    Fields last;
    last.add("done", true);
    send_message(kSocket, served ? last : to_fields(served.error()));
  } catch (const std::bad_alloc&) {
    ::_exit(1);
  }
}

}  // namespace

void KeeperSide::say_ready() {
  ready_.add("ready", true);
  send_message(kSocket, ready_);
}

Result<UniqueFd> KeeperSide::receive_connection() {
  Estate sent = VDISK_TRY(Estate::receive(kSocket, -1));
  UniqueFd connection = sent.take("connection");
  if (!connection) return fail(faults::kForeignAnswer, "the keeper sent no connection");
  return connection;
}

Status KeeperSide::serve(const std::function<Status()>& run, const std::function<void()>& stop) {
  std::atomic<bool> over{false};
  std::thread watcher([&stop, &over] {
    stand_by(kSocket, over);
    stop();
  });
  const Status served = run();
  over.store(true);
  ::shutdown(kSocket, SHUT_RD);
  watcher.join();
  return served;
}

Result<UniqueFd> make_intents(bool read_only) {
  if (read_only) return UniqueFd();
  const auto memory = VDISK_TRY(IntentMemory::create());
  return UniqueFd(::fcntl(memory->fd(), F_DUPFD_CLOEXEC, 3));
}

Result<Companion> start_worker(const WorkerTask& task) {
  Companion worker =
      VDISK_TRY(start_companion(task.request.path, [&task](int socket) noexcept { work(task, socket); }));
  const auto ready = receive_message(worker.socket.get(), -1);
  if (ready && !ready->has("error")) return worker;
  ::waitpid(worker.process, nullptr, 0);
  return std::unexpected(ready ? parse_error(*ready) : ready.error());
}

}  // namespace vdisk::attach
