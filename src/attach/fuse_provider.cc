// SPDX-License-Identifier: Apache-2.0
#include "attach/fuse_provider.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "attach/faults.h"
#include "attach/loop_device.h"
#include "attach/worker.h"
#include "base/fault.h"
#include "serve/fuse/fuse_server.h"
#include "serve/fuse/mount.h"

namespace vdisk::attach {

namespace {

/// The keeper's part: it never reads or writes the image. It holds the files for their locks alone, so that
/// nobody can take the image between two workers; the connection, so that the kernel waits for the next one;
/// and the memory of what no flush covers yet.
class FuseAndLoop final : public ProvidedDevice {
 public:
  FuseAndLoop(AttachRequest request, DiskRange range, std::vector<UniqueFd> files, UniqueFd connection,
              UniqueFd intents)
      : request_(std::move(request)),
        range_(range),
        files_(std::move(files)),
        connection_(std::move(connection)),
        intents_(std::move(intents)) {}

  /// The first worker, and the device on its file in `folder`.
  Status begin(int folder, std::uint32_t sector_bytes) {
    worker_ = VDISK_TRY(start_worker(task(/*resume=*/false)));
    const bool read_only = request_.options.read_only;
    const int mode = (read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
    const UniqueFd file(::openat(folder, file_name().c_str(), mode));
    if (!file)
      return fail_errno(faults::kDevice, errno, "{}: opening its file in the FUSE folder", request_.path);
    device_.emplace(VDISK_TRY(LoopDevice::attach({.file = file.get(),
                                                  .name = request_.path,
                                                  .length_bytes = range_.length,
                                                  .logical_sector_bytes = sector_bytes,
                                                  .read_only = read_only})));
    return {};
  }

  /// What another process began.
  void go_on(Companion worker, LoopDevice device) {
    worker_ = std::move(worker);
    device_.emplace(std::move(device));
  }

  const std::string& node() const noexcept override { return device_->node(); }
  int fd() const noexcept override { return device_->fd(); }
  FileIdentity backing() const noexcept override { return device_->backing(); }
  const Companion& companion() const noexcept override { return worker_; }

  Status revive() override { return replace(await_companion(worker_)); }

  Status renew() override {
    worker_.release();
    ::shutdown(worker_.socket.get(), SHUT_WR);
    const Status ended = await_companion(worker_);
    if (!ended) return replace(ended);
    // All is flushed; a successor of another version might not know this memory.
    intents_ = VDISK_TRY(make_intents(request_.options.read_only));
    return replace(fail(faults::kServerDied, "{}: no successor for what served it", request_.path));
  }

  Status remove() override {
    // The worker serves the device until that is gone.
    const bool answers = worker_.socket && worker_.release();
    const Status gone = device_->remove();
    // The folder goes with its last file, and the worker with the folder.
    connection_.reset();
    if (!worker_.socket) return gone;
    // Where the file stays in use, it goes under its users' feet.
    if (!gone || !answers) ::shutdown(worker_.socket.get(), SHUT_WR);
    const Status closed = await_companion(worker_);
    return gone ? closed : gone;
  }
  void abort() noexcept override {
    static_cast<void>(serve::abort_connection(minor(static_cast<dev_t>(backing().device))));
  }

  void bequeath(Estate& estate) const override {
    for (const UniqueFd& file : files_) estate.add("file", file.get());
    estate.add("device", device_->fd());
    estate.add("connection", connection_.get());
    estate.add("intents", intents_.get());
  }

 private:
  /// A successor of the worker that ended. One may be killed, too, even before it has begun.
  Status replace(Status ended) {
    worker_ = {};
    while (!ended && ended.error().id() == faults::kServerDied.id && limit_.allows_another()) {
      auto successor = start_worker(task(/*resume=*/true));
      if (successor) {
        worker_ = *std::move(successor);
        entrust_again();
        return {};
      }
      ended = std::unexpected(std::move(successor).error());
    }
    // Without a holder the connection ends, and all that waits for it fails.
    connection_.reset();
    return ended ? fail(faults::kServerDied, "{}: the process that served the image ended", request_.path)
                 : ended;
  }
  /// By which losetup and lsblk show the device's file.
  std::string file_name() const { return request_.path.substr(request_.path.rfind('/') + 1); }
  WorkerTask task(bool resume) const {
    const auto serve = [this, resume](const Disk& disk, int connection, KeeperSide& keeper) {
      serve::FuseServer server(
          connection,
          {{.name = file_name(), .disk = &disk, .range = range_, .read_only = request_.options.read_only}},
          {.resume = resume, .trace = {}});
      keeper.say_ready();
      return keeper.serve([&server] { return server.run(); }, [&server] { server.stop(); });
    };
    return {.request = request_, .connection = connection_.get(), .intents = intents_.get(), .serve = serve};
  }

  const AttachRequest request_;
  const DiskRange range_;
  const std::vector<UniqueFd> files_;
  UniqueFd connection_;
  UniqueFd intents_;
  Companion worker_;
  std::optional<LoopDevice> device_;
  RestartLimit limit_;
};

Result<std::optional<std::string>> refusal(const DiskToServe&) {
  if (const Status may = may_attach_loop(); !may) return may.error().message();
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return std::nullopt;
  return fmt::format("/dev/fuse: {}; try 'modprobe fuse'", errno_text(errno));
}

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  const bool read_only = what.request.options.read_only;
  const std::uint32_t sector_bytes = what.disk.geometry().logical_sector_bytes;
  UniqueFd intents = VDISK_TRY(make_intents(read_only));
  serve::FuseConnection connection = VDISK_TRY(serve::connect_hidden(read_only));
  auto device = std::make_unique<FuseAndLoop>(what.request, what.range, hold_files(what.disk),
                                              std::move(connection.device), std::move(intents));
  VDISK_TRY(device->begin(connection.mount.get(), sector_bytes));
  return device;
}

Result<std::unique_ptr<ProvidedDevice>> take_over(const AttachRequest& request, const AttachmentInfo& info,
                                                  Estate& estate) {
  const DiskRange range{request.options.range ? request.options.range->at : DiskOffset{0}, info.size_bytes};
  auto files = estate.take_all("file");
  auto device = std::make_unique<FuseAndLoop>(request, range, std::move(files), estate.take("connection"),
                                              estate.take("intents"));
  Companion worker = VDISK_TRY(Companion::inherit(estate));
  device->go_on(std::move(worker), VDISK_TRY(LoopDevice::adopt(info.device_node, estate.take("device"))));
  return device;
}

}  // namespace

const Provider kFuseProvider = {
    .id = AttachProvider::kFuse, .refusal = refusal, .make = make, .adopt = take_over};

}  // namespace vdisk::attach
