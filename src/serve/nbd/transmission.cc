// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/transmission.h"

#include <linux/nbd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/endian.h"
#include "base/mutex.h"
#include "disk/guarded.h"
#include "serve/memory.h"
#include "serve/nbd/errno_of.h"
#include "serve/nbd/faults.h"
#include "serve/payload_buffer.h"

namespace vdisk::serve::nbd {

namespace {

// NBD protocol (github.com/NetworkBlockDevice/nbd, doc/proto.md), "Transmission phase"; the numbers that
// Debian 12's <linux/nbd.h> does not have yet are of "Request types" and "Command flags".
constexpr std::uint16_t kWriteZeroes = 6;
constexpr std::uint64_t kFlagSendWriteZeroes = 1 << 6;
constexpr std::uint16_t kCommandFua = 1 << 0;
constexpr std::uint16_t kCommandNoHole = 1 << 1;
/// Of one READ or WRITE, whatever limits of the device an administrator raises: the kernel's own bound.
constexpr std::uint32_t kMostTransferBytes = std::uint32_t{32} << 20;

using Handle = std::array<std::byte, 8>;

struct RequestHead {
  Be<std::uint32_t> magic;
  Be<std::uint16_t> flags;
  Be<std::uint16_t> type;
  Handle handle;
  Be<std::uint64_t> from;
  Be<std::uint32_t> length;
};
static_assert(sizeof(RequestHead) == 28);

struct ReplyHead {
  Be<std::uint32_t> magic;
  Be<std::uint32_t> error;
  Handle handle;
};
static_assert(sizeof(ReplyHead) == 16);

/// Memory for a READ that no payload buffer can take. Only where limits of the device were raised.
class LargeBuffer {
 public:
  explicit LargeBuffer(std::size_t data_bytes) noexcept : bytes_(kPageBytes + data_bytes) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) memory_ = static_cast<std::byte*>(memory);
  }
  ~LargeBuffer() {
    if (memory_ != nullptr) ::munmap(memory_, bytes_);
  }
  LargeBuffer(const LargeBuffer&) = delete;
  LargeBuffer& operator=(const LargeBuffer&) = delete;
  explicit operator bool() const noexcept { return memory_ != nullptr; }
  std::span<std::byte> with_head(std::size_t head_bytes, std::size_t data_bytes) noexcept {
    return {memory_ + kPageBytes - head_bytes, head_bytes + data_bytes};
  }

 private:
  const std::size_t bytes_;
  std::byte* memory_ = nullptr;
};

}  // namespace

std::uint64_t transmission_flags(bool read_only) noexcept {
  constexpr std::uint64_t kAlways = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH;
  if (read_only) return kAlways | NBD_FLAG_READ_ONLY;
  return kAlways | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | kFlagSendWriteZeroes;
}

struct Transmission::Impl {
  Impl(int opened, const Disk& served, DiskRange shown, bool no_writes, TransmissionOptions wanted)
      : socket(opened), disk(served), range(shown), read_only(no_writes), options(std::move(wanted)) {}

  void serve(PayloadBuffer& buffer);
  bool receive(std::span<std::byte> into) VDISK_REQUIRES(receiving);
  bool take(RequestHead& head, PayloadBuffer& buffer, std::optional<int>& error) VDISK_EXCLUDES(receiving);
  bool take_large_write(const RequestHead& head, PayloadBuffer& buffer, std::optional<int>& error)
      VDISK_REQUIRES(receiving);
  std::optional<int> refusal(const RequestHead& head) const noexcept;
  int finish(const RequestHead& head, PayloadBuffer& buffer);
  void answer_read(const RequestHead& head, PayloadBuffer& buffer);
  void send(const RequestHead& head, int error, std::span<std::byte> message) VDISK_EXCLUDES(sending);
  void send_error(const RequestHead& head, int error);
  int errno_for(const RequestHead& head, const Status& status);
  void end(std::optional<Error> why) VDISK_EXCLUDES(mutex);
  DiskRange on_disk(const RequestHead& head) const noexcept {
    return {{range.at.bytes + head.from}, head.length};
  }

  const int socket;
  const Disk& disk;
  const DiskRange range;
  const bool read_only;
  const TransmissionOptions options;
  std::atomic<bool> stopping{false};
  Mutex receiving;  ///< Held from a request's first byte to its last.
  bool ended VDISK_GUARDED_BY(receiving) = false;
  Mutex sending;
  Mutex mutex;
  std::optional<Error> failure VDISK_GUARDED_BY(mutex);
};

void Transmission::Impl::end(std::optional<Error> why) {
  const MutexLock lock(mutex);
  if (!failure && why && !stopping.load()) failure = std::move(why);
}

/// All of it, or false when the socket has ended.
bool Transmission::Impl::receive(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::recv(socket, into.data(), into.size(), MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const char* what = "the socket of the kernel's NBD client ended";
      end((got < 0 ? fail_errno(faults::kConnectionLost, errno, "{}", what)
                   : fail(faults::kConnectionLost, "{}", what))
              .error());
      return false;
    }
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

void Transmission::Impl::send(const RequestHead& request, int error, std::span<std::byte> message) {
  const ReplyHead head{
      .magic = NBD_REPLY_MAGIC, .error = static_cast<std::uint32_t>(error), .handle = request.handle};
  store(message, head);
  const MutexLock lock(sending);
  while (!message.empty()) {
    const ssize_t sent = ::send(socket, message.data(), message.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    // Whoever reads learns of it, too, and says so.
    if (sent < 0) return;
    message = message.subspan(static_cast<std::size_t>(sent));
  }
}

void Transmission::Impl::send_error(const RequestHead& head, int error) {
  std::array<std::byte, sizeof(ReplyHead)> message;
  send(head, error, message);
}

int Transmission::Impl::errno_for(const RequestHead& head, const Status& status) {
  if (status) return 0;
  if (options.trace) {
    options.trace(TraceLevel::kWarning,
                  fmt::format("request {} of {} bytes at {}: {}", head.type.get(), head.length.get(),
                              head.from.get(), status.error().message()));
  }
  return errno_of(status.error());
}

/// Why a request is not even tried.
std::optional<int> Transmission::Impl::refusal(const RequestHead& head) const noexcept {
  const std::uint16_t type = head.type;
  if (type == NBD_CMD_FLUSH) return std::nullopt;
  if (!fits_within(head.from.get(), head.length.get(), range.length) || head.length == 0) return EINVAL;
  if (type == NBD_CMD_READ) return std::nullopt;
  if (type != NBD_CMD_WRITE && type != NBD_CMD_TRIM && type != kWriteZeroes) return EINVAL;
  if (read_only) return EPERM;
  return std::nullopt;
}

/// A write that no buffer can take: piece by piece, with the socket kept. Its rest is read whatever happens.
bool Transmission::Impl::take_large_write(const RequestHead& head, PayloadBuffer& buffer,
                                          std::optional<int>& error) {
  const DiskRange place = on_disk(head);
  for (std::uint64_t done = 0; done < place.length;) {
    const auto piece = buffer.data().first(std::min<std::uint64_t>(kMostPayloadBytes, place.length - done));
    if (!receive(piece)) return false;
    if (error.value_or(0) == 0) error = errno_for(head, disk.write({place.at.bytes + done}, piece));
    done += piece.size();
  }
  if (*error == 0 && (head.flags & kCommandFua) != 0) error = errno_for(head, disk.flush());
  return true;
}

/// The next request, with its payload in the buffer; `error` is set where nothing is left to do but to
/// answer. False when there are no more.
bool Transmission::Impl::take(RequestHead& head, PayloadBuffer& buffer, std::optional<int>& error) {
  const MutexLock lock(receiving);
  if (ended) return false;
  ended = true;  // until all of the request has come
  if (!receive(writable_bytes_of(head))) return false;
  const bool transfers = head.type == NBD_CMD_READ || head.type == NBD_CMD_WRITE;
  if (head.magic != NBD_REQUEST_MAGIC || (transfers && head.length > kMostTransferBytes)) {
    end(fail(faults::kBadRequest, "magic {:#x}, type {}, {} bytes", head.magic.get(), head.type.get(),
             head.length.get())
            .error());
    ::shutdown(socket, SHUT_RDWR);
    return false;
  }
  if (head.type == NBD_CMD_DISC) return false;
  error = refusal(head);
  if (head.type == NBD_CMD_WRITE) {
    const bool fits = head.length <= kMostPayloadBytes;
    if (fits ? !receive(buffer.data().first(head.length)) : !take_large_write(head, buffer, error))
      return false;
  }
  ended = false;
  return true;
}

void Transmission::Impl::answer_read(const RequestHead& head, PayloadBuffer& buffer) {
  const auto read = [&](std::span<std::byte> message) {
    const int error = errno_for(head, disk.read(on_disk(head).at, message.subspan(sizeof(ReplyHead))));
    send(head, error, error == 0 ? message : message.first(sizeof(ReplyHead)));
  };
  if (head.length <= kMostPayloadBytes) return read(buffer.with_head(sizeof(ReplyHead), head.length));
  LargeBuffer large(head.length);
  if (!large) return send_error(head, ENOMEM);
  read(large.with_head(sizeof(ReplyHead), head.length));
}

/// What is no read; an errno.
int Transmission::Impl::finish(const RequestHead& head, PayloadBuffer& buffer) {
  const auto change = [&]() -> Status {
    switch (head.type) {
      case NBD_CMD_WRITE:
        return disk.write(on_disk(head).at, buffer.data().first(head.length));
      case NBD_CMD_TRIM:
        return disk.trim(on_disk(head));
      case kWriteZeroes:
        return disk.write_zeroes(on_disk(head),
                                 (head.flags & kCommandNoHole) != 0 ? ZeroSpace::kKeep : ZeroSpace::kFree);
      default:
        return disk.flush();
    }
  };
  const int error = errno_for(head, change());
  if (error != 0 || (head.flags & kCommandFua) == 0) return error;
  return errno_for(head, disk.flush());
}

void Transmission::Impl::serve(PayloadBuffer& buffer) {
  touch_stack();
  RequestHead head;
  std::optional<int> error;
  while (take(head, buffer, error)) {
    const auto answered = guarded([&]() -> Status {
      if (error) {
        send_error(head, *error);
      } else if (head.type == NBD_CMD_READ) {
        answer_read(head, buffer);
      } else {
        send_error(head, finish(head, buffer));
      }
      return {};
    });
    // Memory ran out before anything was sent.
    if (!answered) send_error(head, ENOMEM);
  }
}

Transmission::Transmission(int socket, const Disk& disk, DiskRange range, bool read_only,
                           TransmissionOptions options)
    : impl_(std::make_unique<Impl>(socket, disk, range, read_only, std::move(options))) {}
Transmission::~Transmission() = default;

void Transmission::stop() noexcept {
  impl_->stopping.store(true);
  ::shutdown(impl_->socket, SHUT_RD);
}

Status Transmission::run() {
  return guarded([&]() -> Status {
    std::vector<std::unique_ptr<PayloadBuffer>> buffers(std::max(impl_->options.threads, 1U));
    for (auto& buffer : buffers) {
      buffer = PayloadBuffer::make();
      if (!buffer) return fail(vdisk::faults::kMemory, "no memory for requests");
    }
    {
      std::vector<std::jthread> threads;
      sigset_t all;
      sigset_t before;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_BLOCK, &all, &before);
      for (auto& buffer : std::span(buffers).subspan(1)) {
        threads.emplace_back([this, &own = *buffer] { impl_->serve(own); });
      }
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      impl_->serve(*buffers.front());
    }
    const MutexLock lock(impl_->mutex);
    if (impl_->failure) return std::unexpected(*impl_->failure);
    return {};
  });
}

}  // namespace vdisk::serve::nbd
