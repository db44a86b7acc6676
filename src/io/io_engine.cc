// SPDX-License-Identifier: Apache-2.0
#include "io/io_engine.h"

#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/fault.h"

namespace vdisk {

namespace {

class UringEngine final : public IoEngine {
 public:
  explicit UringEngine(unsigned depth) noexcept : depth_(depth) {}
  ~UringEngine() override {
    if (open_) ::io_uring_queue_exit(&ring_);
  }

  bool open() noexcept {
    // Completions need no interrupt of the driver: it comes by itself.
    open_ = ::io_uring_queue_init(depth_, &ring_, IORING_SETUP_COOP_TASKRUN) == 0 ||
            ::io_uring_queue_init(depth_, &ring_, 0) == 0;
    return open_;
  }

  unsigned room() const noexcept override { return depth_ - under_way_; }

  void start(IoOperation& operation) noexcept override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) {  // started, but not submitted yet
      submit();
      entry = ::io_uring_get_sqe(&ring_);
    }
    VDISK_ASSERT(entry != nullptr);
    const auto length = static_cast<unsigned>(operation.bytes.size());
    if (operation.kind == IoOperation::Kind::kRead) {
      ::io_uring_prep_read(entry, operation.fd, operation.bytes.data(), length, operation.at.bytes);
    } else {
      ::io_uring_prep_write(entry, operation.fd, operation.bytes.data(), length, operation.at.bytes);
    }
    ::io_uring_sqe_set_data(entry, &operation);
    ++under_way_;
    ++unsent_;
  }

  void submit() noexcept override {
    while (unsent_ != 0) {
      const int sent = ::io_uring_submit(&ring_);
      if (sent > 0) {
        unsent_ -= std::min(unsent_, static_cast<unsigned>(sent));
      } else if (sent != -EINTR) {
        return;  // the kernel is short of memory, or of room for completions: the next call tries again
      }
    }
  }

  unsigned drive() noexcept override {
    submit();
    unsigned ended = 0;
    io_uring_cqe* entry = nullptr;
    while (::io_uring_peek_cqe(&ring_, &entry) == 0) {
      auto& operation = *static_cast<IoOperation*>(::io_uring_cqe_get_data(entry));
      const long result = entry->res;
      ::io_uring_cqe_seen(&ring_, entry);
      --under_way_;
      ++ended;
      operation.done(operation, result);
    }
    return ended;
  }

  int event_fd() const noexcept override { return ring_.ring_fd; }

 private:
  const unsigned depth_;
  io_uring ring_{};
  bool open_ = false;
  unsigned under_way_ = 0;
  unsigned unsent_ = 0;
};

}  // namespace

std::unique_ptr<IoEngine> IoEngine::make(unsigned depth) noexcept {
  std::unique_ptr<UringEngine> engine(new (std::nothrow) UringEngine(depth));
  if (!engine || !engine->open()) return nullptr;
  return engine;
}

}  // namespace vdisk
