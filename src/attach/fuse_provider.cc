// SPDX-License-Identifier: Apache-2.0
#include "attach/fuse_provider.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>

#include "attach/faults.h"
#include "attach/fuse_worker.h"
#include "attach/loop_device.h"
#include "base/fault.h"
#include "format/intent_memory.h"
#include "serve/fuse/mount.h"

namespace vdisk::attach {

namespace {

/// Workers may be killed as often as this in a minute; a request that kills each of them must not go on for
/// ever.
constexpr std::size_t kMostRestarts = 120;
constexpr std::chrono::minutes kRestartPeriod{1};

/// The keeper's part: it never reads or writes the image. It holds the disk open for its locks alone, so that
/// nobody can take the image between two workers; the connection, so that the kernel waits for the next one;
/// and the memory of what no flush covers yet.
class FuseAndLoop final : public ProvidedDevice {
 public:
  FuseAndLoop(DiskToServe what, serve::FuseConnection connection, std::unique_ptr<IntentMemory> intents)
      : what_(std::move(what)), connection_(std::move(connection)), intents_(std::move(intents)) {}

  /// The first worker, and the device on its file.
  Status begin() {
    worker_ = VDISK_TRY(start_worker(task(/*resume=*/false)));
    const AttachRequest& request = what_.request;
    const bool read_only = request.options.read_only;
    const int mode = (read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
    const UniqueFd file(::openat(connection_.mount.get(), file_name().c_str(), mode));
    if (!file)
      return fail_errno(faults::kDevice, errno, "{}: opening its file in the FUSE folder", request.path);
    device_.emplace(
        VDISK_TRY(LoopDevice::attach({.file = file.get(),
                                      .name = request.path,
                                      .length_bytes = what_.range.length,
                                      .logical_sector_bytes = what_.disk.geometry().logical_sector_bytes,
                                      .read_only = read_only})));
    return {};
  }

  const std::string& node() const noexcept override { return device_->node(); }
  int fd() const noexcept override { return device_->fd(); }
  FileIdentity backing() const noexcept override { return device_->backing(); }
  int ended_fd() const noexcept override { return worker_.ended.get(); }

  Status revive() override {
    Status ended = await_worker(worker_);
    worker_ = {};
    // A successor may be killed, too, even before it has begun.
    while (!ended && ended.error().id() == faults::kServerDied.id && may_restart()) {
      auto successor = start_worker(task(/*resume=*/true));
      if (successor) {
        worker_ = *std::move(successor);
        return {};
      }
      ended = std::unexpected(std::move(successor).error());
    }
    // Without a holder the connection ends, and all that waits for it fails.
    connection_.device.reset();
    return ended
               ? fail(faults::kServerDied, "{}: the process that served the image ended", what_.request.path)
               : ended;
  }

  Status remove() override {
    const Status gone = device_->remove();
    // The folder goes with its last file, and the worker with the folder.
    connection_.mount.reset();
    connection_.device.reset();
    if (!worker_.socket) return gone;
    // Where the file stays in use, it goes under its users' feet.
    if (!gone) ::shutdown(worker_.socket.get(), SHUT_WR);
    const Status closed = await_worker(worker_);
    return gone ? closed : gone;
  }
  void abort() noexcept override {
    static_cast<void>(serve::abort_connection(minor(static_cast<dev_t>(backing().device))));
  }

 private:
  /// By which losetup and lsblk show the device's file.
  std::string file_name() const {
    const std::string& path = what_.request.path;
    return path.substr(path.rfind('/') + 1);
  }
  WorkerTask task(bool resume) const {
    return {.request = what_.request,
            .file_name = file_name(),
            .range = what_.range,
            .device = connection_.device.get(),
            .intents = intents_ ? intents_->fd() : -1,
            .resume = resume};
  }
  bool may_restart() {
    const auto now = std::chrono::steady_clock::now();
    while (!restarts_.empty() && now - restarts_.front() > kRestartPeriod) restarts_.pop_front();
    restarts_.push_back(now);
    return restarts_.size() <= kMostRestarts;
  }

  DiskToServe what_;
  serve::FuseConnection connection_;
  std::unique_ptr<IntentMemory> intents_;
  Worker worker_;
  std::optional<LoopDevice> device_;
  std::deque<std::chrono::steady_clock::time_point> restarts_;
};

Result<std::optional<std::string>> refusal(const DiskToServe&) {
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return std::nullopt;
  return fmt::format("/dev/fuse: {}; try 'modprobe fuse'", errno_text(errno));
}

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  const bool read_only = what.request.options.read_only;
  std::unique_ptr<IntentMemory> intents;
  if (!read_only) intents = VDISK_TRY(IntentMemory::create());
  serve::FuseConnection connection = VDISK_TRY(serve::connect_hidden(read_only));
  auto device = std::make_unique<FuseAndLoop>(std::move(what), std::move(connection), std::move(intents));
  VDISK_TRY(device->begin());
  return device;
}

}  // namespace

const Provider kFuseProvider = {.id = AttachProvider::kFuse, .refusal = refusal, .make = make};

}  // namespace vdisk::attach
