// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/fuse_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <thread>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "disk/guarded.h"
#include "serve/fuse/faults.h"
#include "serve/fuse/folder.h"
#include "serve/fuse/payload_buffer.h"
#include "serve/fuse/request.h"

namespace vdisk::serve {

namespace {

using fuse::Answer;
using fuse::PayloadBuffer;

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
  void serve(Worker& worker);
  bool serve_one(Worker& worker);
  void send(std::uint64_t unique, const Answer& answer, PayloadBuffer& buffer);
  void end() noexcept;
  void fail_connection(int error, const char* what);

  const int device;
  const FuseServerOptions options;
  fuse::Folder folder;
  const UniqueFd stopped;
  Mutex mutex;
  std::optional<Error> failure VDISK_GUARDED_BY(mutex);
};

void FuseServer::Impl::end() noexcept {
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

/// False when the connection has ended, or nothing can be read from it.
bool FuseServer::Impl::serve_one(Worker& worker) {
  const std::span<std::byte> space = worker.request->with_head(fuse::kHeadBytes);
  const ssize_t got = ::read(device, space.data(), space.size());
  if (got < 0) {
    // ENOENT: the request was taken back while it was being read.
    if (errno == EAGAIN || errno == EINTR || errno == ENOENT) return true;
    if (errno == ENODEV) {
      end();  // unmounted
    } else {
      fail_connection(errno, "reading a request of");
    }
    return false;
  }
  fuse_in_header header{};
  const auto request = fuse::parse_request(space.first(static_cast<std::size_t>(got)), &header);
  Answer answer{.error = EIO};
  if (request) {
    try {
      answer = folder.answer(*request, worker.answer->data());
    } catch (const std::bad_alloc&) {
      answer = {.error = ENOMEM};
    }
  }
  if (!answer.silent) send(header.unique, answer, *worker.answer);
  return true;
}

void FuseServer::Impl::serve(Worker& worker) {
  for (;;) {
    pollfd waits[2] = {{device, POLLIN, 0}, {stopped.get(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return fail_connection(errno, "waiting for");
    if (waits[1].revents != 0) return;
    if (waits[0].revents != 0 && !serve_one(worker)) return;
  }
}

FuseServer::FuseServer(int device, std::vector<ServedFile> files, FuseServerOptions options)
    : impl_(std::make_unique<Impl>(device, std::move(files), std::move(options))) {}
FuseServer::~FuseServer() = default;

void FuseServer::stop() noexcept { impl_->end(); }

Status FuseServer::run() {
  return guarded([&]() -> Status {
    if (impl_->options.resume) VDISK_TRY(impl_->ask_to_resend());
    std::vector<Impl::Worker> workers(std::max(impl_->options.threads, 1U));
    for (const Impl::Worker& worker : workers) {
      if (!worker.request || !worker.answer) return fail(vdisk::faults::kMemory, "no memory for requests");
    }
    std::vector<std::jthread> threads;
    {
      const SignalsBlocked blocked;
      for (std::size_t i = 1; i < workers.size(); ++i) {
        threads.emplace_back([this, &worker = workers[i]] { impl_->serve(worker); });
      }
    }
    impl_->serve(workers.front());
    threads.clear();
    const MutexLock lock(impl_->mutex);
    if (impl_->failure) return std::unexpected(*impl_->failure);
    return {};
  });
}

}  // namespace vdisk::serve
