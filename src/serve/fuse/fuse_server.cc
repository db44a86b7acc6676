// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/fuse_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "disk/async.h"
#include "disk/guarded.h"
#include "io/io_engine.h"
#include "serve/fuse/faults.h"
#include "serve/fuse/folder.h"
#include "serve/fuse/request.h"
#include "serve/memory.h"
#include "serve/payload_buffer.h"

namespace vdisk::serve {

namespace {

using fuse::Answer;

/// Requests that are under way at once; what the kernel may send beyond them waits with it (Folder::init).
constexpr std::size_t kJobs = 40;
/// Of them, there before the first request is taken. To touch the memory of all of them takes longer than all
/// else of an attachment, and whoever attaches waits for the first answers alone.
constexpr std::size_t kFirstJobs = 4;
constexpr unsigned kEngineDepth = 128;
/// How many requests a loop takes before it looks after those that have ended.
constexpr int kMostTaken = 16;

/// Signals are the business of the thread that made the server.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

struct FuseServer::Impl {
  Impl(int opened, std::vector<ServedFile> files, FuseServerOptions wanted)
      : device(opened),
        options(std::move(wanted)),
        folder(std::move(files), options.trace),
        stopped(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    const int flags = ::fcntl(device, F_GETFL);
    if (flags >= 0) ::fcntl(device, F_SETFL, flags | O_NONBLOCK);
  }

  /// What one thread works with.
  struct Worker {
    std::unique_ptr<PayloadBuffer> request = PayloadBuffer::make();
    std::unique_ptr<PayloadBuffer> answer = PayloadBuffer::make();
  };

  Status ask_to_resend();
  struct Shared;
  void work(Shared& shared, std::unique_ptr<PayloadBuffer> buffer);
  Status run_threads();
  Status run_loops(std::vector<std::unique_ptr<IoEngine>> engines);
  void serve(Worker& worker);
  bool serve_one(Worker& worker);
  /// Reads one request; its size, 0 when there is none at the moment, less when the connection has ended.
  ssize_t receive(PayloadBuffer& buffer);
  Answer answer_to(std::span<const std::byte> bytes, std::span<std::byte> out, std::uint64_t& unique);
  void send(std::uint64_t unique, const Answer& answer, PayloadBuffer& buffer);
  void end() noexcept;
  void fail_connection(int error, const char* what);

  const int device;
  const FuseServerOptions options;
  fuse::Folder folder;
  const UniqueFd stopped;
  std::atomic<bool> ending{false};
  Mutex mutex;
  std::optional<Error> failure VDISK_GUARDED_BY(mutex);
};

void FuseServer::Impl::end() noexcept {
  ending.store(true);
  const std::uint64_t one = 1;
  static_cast<void>(::write(stopped.get(), &one, sizeof one));  // fails only when it says so already
}

void FuseServer::Impl::fail_connection(int error, const char* what) {
  auto born = fail_errno(faults::kConnection, error, "{} the kernel", what);
  {
    const MutexLock lock(mutex);
    if (!failure) failure = std::move(born).error();
  }
  end();
}

Status FuseServer::Impl::ask_to_resend() {
  fuse_out_header notice{};
  notice.len = sizeof notice;
  notice.error = fuse::kNotifyResend;
  if (::write(device, &notice, sizeof notice) == sizeof notice) return {};
  return fail_errno(faults::kNoResend, errno, "asking the kernel to send unanswered requests again");
}

void FuseServer::Impl::send(std::uint64_t unique, const Answer& answer, PayloadBuffer& buffer) {
  fuse_out_header header{};
  const std::size_t bytes = answer.error == 0 ? answer.bytes : 0;
  const std::span<std::byte> message = buffer.with_head(sizeof header, bytes);
  header.len = static_cast<std::uint32_t>(message.size());
  header.error = -answer.error;
  header.unique = unique;
  std::memcpy(message.data(), &header, sizeof header);
  ssize_t sent;
  do {
    sent = ::write(device, message.data(), message.size());
  } while (sent < 0 && errno == EINTR);
  // ENOENT: whoever asked is gone. ENODEV: everyone is.
  if (sent < 0 && errno != ENOENT && errno != ENODEV) fail_connection(errno, "answering");
}

ssize_t FuseServer::Impl::receive(PayloadBuffer& buffer) {
  const std::span<std::byte> space = buffer.with_head(fuse::kHeadBytes);
  ssize_t got = ::read(device, space.data(), space.size());
  // Also of a request that was being read when the folder went: asked again, the kernel says ENODEV then.
  if (got < 0 && errno == ECONNABORTED) got = ::read(device, space.data(), space.size());
  if (got >= 0) return got;
  // ENOENT: the request was taken back while it was being read.
  if (errno == EAGAIN || errno == EINTR || errno == ENOENT) return 0;
  if (errno == ENODEV) {
    end();  // unmounted
  } else {
    fail_connection(errno, "reading a request of");
  }
  return -1;
}

Answer FuseServer::Impl::answer_to(std::span<const std::byte> bytes, std::span<std::byte> out,
                                   std::uint64_t& unique) {
  fuse_in_header header{};
  const auto request = fuse::parse_request(bytes, &header);
  unique = header.unique;
  if (!request) return {.error = EIO};
  try {
    return folder.answer(*request, out);
  } catch (const std::bad_alloc&) {
    return {.error = ENOMEM};
  }
}

/// False when the connection has ended.
bool FuseServer::Impl::serve_one(Worker& worker) {
  const ssize_t got = receive(*worker.request);
  if (got <= 0) return got == 0;
  std::uint64_t unique = 0;
  const Answer answer =
      answer_to(worker.request->with_head(fuse::kHeadBytes).first(static_cast<std::size_t>(got)),
                worker.answer->data(), unique);
  if (!answer.silent) send(unique, answer, *worker.answer);
  return true;
}

void FuseServer::Impl::serve(Worker& worker) {
  touch_stack();
  for (;;) {
    pollfd waits[2] = {{device, POLLIN, 0}, {stopped.get(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return fail_connection(errno, "waiting for");
    if (waits[1].revents != 0) return;
    if (waits[0].revents != 0 && !serve_one(worker)) return;
  }
}

Status FuseServer::Impl::run_threads() {
  std::vector<Worker> workers(std::max(options.threads, 1U));
  for (const Worker& worker : workers) {
    if (!worker.request || !worker.answer) return fail(vdisk::faults::kMemory, "no memory for requests");
  }
  std::vector<std::jthread> threads;
  {
    const SignalsBlocked blocked;
    for (std::size_t i = 1; i < workers.size(); ++i) {
      threads.emplace_back([this, &worker = workers[i]] { serve(worker); });
    }
  }
  serve(workers.front());
  return {};
}

namespace {

/// One request from its arrival to its answer.
struct Job : AsyncTransfer {
  std::unique_ptr<PayloadBuffer> buffer;  ///< Made before the job is idle for the first time.
  std::size_t bytes = 0;                  ///< Of the request, from kHeadBytes before the buffer's data on.
  std::uint64_t unique = 0;
  fuse::Transfer transfer;
  bool is_write = false;
  class Loop* loop = nullptr;
  Job* next = nullptr;  ///< In the list that it waits in.

  std::span<std::byte> request() noexcept { return buffer->with_head(fuse::kHeadBytes).first(bytes); }
};

/// Jobs that nobody works on, first come first served.
class JobQueue {
 public:
  void push(Job& job) VDISK_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      job.next = nullptr;
      (last_ == nullptr ? first_ : last_->next) = &job;
      last_ = &job;
    }
    changed_.notify_one();
  }
  Job* try_pop() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return take();
  }
  /// Waits; nothing when the queue was closed and is empty.
  Job* pop() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (first_ == nullptr && !closed_) changed_.wait(mutex_);
    return take();
  }
  void close() VDISK_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  Job* take() VDISK_REQUIRES(mutex_) {
    Job* const job = first_;
    if (job != nullptr && (first_ = job->next) == nullptr) last_ = nullptr;
    return job;
  }
  Mutex mutex_;
  std::condition_variable_any changed_;
  Job* first_ VDISK_GUARDED_BY(mutex_) = nullptr;
  Job* last_ VDISK_GUARDED_BY(mutex_) = nullptr;
  bool closed_ VDISK_GUARDED_BY(mutex_) = false;
};

}  // namespace

/// What loops and workers share.
struct FuseServer::Impl::Shared {
  std::vector<Job> jobs = std::vector<Job>(kJobs);
  JobQueue idle;
  JobQueue to_do;  ///< For the workers.
  /// Loops that wait for an idle job; whoever gives one back says so.
  std::atomic<unsigned> starving{0};
  UniqueFd given_back{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

  /// Makes the buffers of some jobs more, which are idle then; false when there is no memory.
  bool prepare(std::span<Job> some) noexcept {
    for (Job& job : some) {
      job.buffer = PayloadBuffer::make();
      if (!job.buffer) return false;
      give_back(job);
    }
    return true;
  }
  void give_back(Job& job) noexcept {
    idle.push(job);
    if (starving.load() == 0) return;
    const std::uint64_t one = 1;
    static_cast<void>(::write(given_back.get(), &one, sizeof one));
  }
};

namespace {

/// One thread that reads requests and moves payload through its engine; everything else it hands to the
/// workers.
class Loop {
 public:
  Loop(FuseServer::Impl& server, FuseServer::Impl::Shared& shared, std::unique_ptr<IoEngine> engine)
      : server_(server), shared_(shared), engine_(std::move(engine)) {}
  void run();

 private:
  unsigned take_requests();
  bool start(Job& job);
  void wait();
  static void ended(AsyncTransfer& transfer, bool moved);
  bool ending() const noexcept { return server_.ending.load(std::memory_order_relaxed); }

  FuseServer::Impl& server_;
  FuseServer::Impl::Shared& shared_;
  const std::unique_ptr<IoEngine> engine_;
  unsigned under_way_ = 0;
  Job* ready_ = nullptr;  ///< Idle, for the next request.
};

void Loop::run() {
  touch_stack();
  for (;;) {
    unsigned did = take_requests();
    engine_->submit();
    did += engine_->drive();
    if (ending() && under_way_ == 0) break;
    if (did == 0) wait();
  }
  if (ready_ != nullptr) shared_.give_back(*ready_);
}

unsigned Loop::take_requests() {
  unsigned taken = 0;
  while (taken < kMostTaken && !ending()) {
    if (ready_ == nullptr) ready_ = shared_.idle.try_pop();
    if (ready_ == nullptr) break;
    const ssize_t got = server_.receive(*ready_->buffer);
    if (got <= 0) break;
    Job& job = *std::exchange(ready_, nullptr);
    job.bytes = static_cast<std::size_t>(got);
    ++taken;
    if (!start(job)) shared_.to_do.push(job);
  }
  return taken;
}

/// False when the request is not one that payload alone answers.
bool Loop::start(Job& job) {
  const auto request = fuse::parse_request(job.request());
  if (!request || (request->header.opcode != FUSE_READ && request->header.opcode != FUSE_WRITE)) return false;
  job.is_write = request->header.opcode == FUSE_WRITE;
  const auto transfer =
      job.is_write ? server_.folder.write_transfer(*request) : server_.folder.read_transfer(*request);
  if (!transfer) return false;
  job.transfer = *transfer;
  job.unique = request->header.unique;
  job.loop = this;
  job.done = ended;
  fuse::PlainFile& file = *transfer->file;
  const DiskRange range = file.on_disk(transfer->at, transfer->length);
  const std::span<std::byte> payload = job.buffer->data().first(transfer->length);
  if (!job.is_write) {
    if (!start_read(file.disk(), *engine_, range.at, payload, job)) return false;
  } else {
    if (!file.whole_sectors(transfer->at, transfer->length) || !file.gate().try_enter_whole()) return false;
    if (!start_write(file.disk(), *engine_, range.at, payload, job)) {
      file.gate().leave_whole();
      return false;
    }
  }
  ++under_way_;
  return true;
}

void Loop::ended(AsyncTransfer& transfer, bool moved) {
  Job& job = static_cast<Job&>(transfer);
  Loop& loop = *job.loop;
  --loop.under_way_;
  if (job.is_write) {
    job.transfer.file->gate().leave_whole();
    loop.server_.folder.note_change(*job.transfer.file, job.transfer.at, job.transfer.length);
  }
  if (!moved) return loop.shared_.to_do.push(job);
  Answer answer{.bytes = job.transfer.length};
  if (job.is_write) {
    fuse_write_out out{};
    out.size = static_cast<std::uint32_t>(job.transfer.length);
    std::memcpy(job.buffer->data().data(), &out, sizeof out);
    answer.bytes = sizeof out;
  }
  loop.server_.send(job.unique, answer, *job.buffer);
  loop.shared_.give_back(job);
}

void Loop::wait() {
  const bool starving = ready_ == nullptr;
  if (starving) {
    shared_.starving.fetch_add(1);
    ready_ = shared_.idle.try_pop();  // given back before anyone knew
  }
  // A negative descriptor is left out.
  pollfd waits[4] = {{ready_ != nullptr && !ending() ? server_.device : -1, POLLIN, 0},
                     {ending() ? -1 : server_.stopped.get(), POLLIN, 0},
                     {engine_->event_fd(), POLLIN, 0},
                     {ready_ == nullptr ? shared_.given_back.get() : -1, POLLIN, 0}};
  if (::poll(waits, 4, -1) < 0 && errno != EINTR) server_.fail_connection(errno, "waiting for");
  if (starving) shared_.starving.fetch_sub(1);
  if (waits[3].revents != 0) {
    std::uint64_t count = 0;
    static_cast<void>(::read(shared_.given_back.get(), &count, sizeof count));
  }
}

}  // namespace

Status FuseServer::Impl::run_loops(std::vector<std::unique_ptr<IoEngine>> engines) {
  Shared shared;
  const std::span<Job> jobs = shared.jobs;
  // At the end, from below: the loops first, which may leave something to the workers.
  std::vector<std::jthread> workers;
  workers.reserve(std::max(options.threads, 1U));
  const struct Closing {
    JobQueue& queue;
    ~Closing() { queue.close(); }
  } closing{shared.to_do};
  std::vector<std::jthread> loops;
  const auto add_worker = [&] {
    auto answer = PayloadBuffer::make();
    if (!answer) return false;
    const SignalsBlocked blocked;
    try {
      workers.emplace_back(
          [this, &shared, own = std::move(answer)]() mutable { work(shared, std::move(own)); });
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  };
  if (!shared.prepare(jobs.first(kFirstJobs)) || !add_worker()) {
    return fail(vdisk::faults::kMemory, "no memory for requests");
  }
  {
    const SignalsBlocked blocked;
    for (auto& engine : engines) {
      loops.emplace_back(
          [this, &shared, own = std::move(engine)]() mutable { Loop(*this, shared, std::move(own)).run(); });
    }
  }
  // Requests are answered from here on: by fewer at once until this is done, and for good where memory is
  // short.
  while (workers.size() < options.threads && add_worker()) {
  }
  static_cast<void>(shared.prepare(jobs.subspan(kFirstJobs)));
  return {};
}

void FuseServer::Impl::work(Shared& shared, std::unique_ptr<PayloadBuffer> buffer) {
  touch_stack();
  while (Job* job = shared.to_do.pop()) {
    std::uint64_t unique = 0;
    const Answer answer = answer_to(job->request(), buffer->data(), unique);
    if (!answer.silent) send(unique, answer, *buffer);
    shared.give_back(*job);
  }
}

FuseServer::FuseServer(int device, std::vector<ServedFile> files, FuseServerOptions options)
    : impl_(std::make_unique<Impl>(device, std::move(files), std::move(options))) {}
FuseServer::~FuseServer() = default;

void FuseServer::stop() noexcept { impl_->end(); }

Status FuseServer::run() {
  return guarded([&]() -> Status {
    if (impl_->options.resume) VDISK_TRY(impl_->ask_to_resend());
    std::vector<std::unique_ptr<IoEngine>> engines;
    if (impl_->options.io_uring && impl_->folder.can_transfer()) {
      while (engines.size() < std::max(impl_->options.loops, 1U)) {
        engines.push_back(IoEngine::make(kEngineDepth));
        if (!engines.back()) break;
      }
    }
    if (!engines.empty() && engines.back()) {
      VDISK_TRY(impl_->run_loops(std::move(engines)));
    } else {
      VDISK_TRY(impl_->run_threads());
    }
    const MutexLock lock(impl_->mutex);
    if (impl_->failure) return std::unexpected(*impl_->failure);
    return {};
  });
}

}  // namespace vdisk::serve
