// SPDX-License-Identifier: Apache-2.0
#include "attach/fuse_provider.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "attach/faults.h"
#include "attach/loop_device.h"
#include "attach/served_device.h"
#include "base/fault.h"
#include "serve/fuse/fuse_server.h"
#include "serve/fuse/mount.h"

namespace vdisk::attach {

namespace {

/// The keeper holds the connection, so that the kernel waits for the next worker.
class FuseAndLoop final : public ServedDevice {
 public:
  FuseAndLoop(const AttachRequest& request, DiskRange range, std::vector<UniqueFd> files, UniqueFd connection,
              UniqueFd intents)
      : ServedDevice(request, range, std::move(files), std::move(intents)),
        connection_(std::move(connection)) {}

  /// The first worker, and the device on its file in `folder`.
  Status begin(int folder, std::uint32_t sector_bytes) {
    set_worker(VDISK_TRY(start_worker(task(/*resume=*/false))));
    const int mode = (read_only() ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
    const UniqueFd file(::openat(folder, file_name().c_str(), mode));
    if (!file)
      return fail_errno(faults::kDevice, errno, "{}: opening its file in the FUSE folder", request().path);
    device_.emplace(VDISK_TRY(LoopDevice::attach({.file = file.get(),
                                                  .name = request().path,
                                                  .length_bytes = range().length,
                                                  .logical_sector_bytes = sector_bytes,
                                                  .read_only = read_only()})));
    return {};
  }

  /// What another process began.
  void go_on(Companion worker, LoopDevice device) {
    set_worker(std::move(worker));
    device_.emplace(std::move(device));
  }

  const std::string& node() const noexcept override { return device_->node(); }
  int fd() const noexcept override { return device_->fd(); }
  FileIdentity backing() const noexcept override { return device_->backing(); }
  void abort() noexcept override {
    static_cast<void>(serve::abort_connection(minor(static_cast<dev_t>(backing().device))));
  }
  void bequeath(Estate& estate) const override {
    ServedDevice::bequeath(estate);
    estate.add("connection", connection_.get());
  }

 private:
  Status start_successor() override {
    set_worker(VDISK_TRY(start_worker(task(/*resume=*/true))));
    return {};
  }
  /// Without a holder the connection ends.
  void give_up() noexcept override { connection_.reset(); }
  Status remove_device() override {
    Status gone = device_->remove();
    // The folder goes with its last file, and the worker with the folder.
    connection_.reset();
    return gone;
  }

  /// By which losetup and lsblk show the device's file.
  std::string file_name() const { return request().path.substr(request().path.rfind('/') + 1); }
  WorkerTask task(bool resume) const {
    const auto serve = [this, resume](const Disk& disk, int connection, KeeperSide& keeper) {
      serve::FuseServer server(
          connection, {{.name = file_name(), .disk = &disk, .range = range(), .read_only = read_only()}},
          {.resume = resume, .trace = {}});
      keeper.say_ready();
      return keeper.serve([&server] { return server.run(); }, [&server] { server.stop(); });
    };
    return {.request = request(), .connection = connection_.get(), .intents = intents(), .serve = serve};
  }

  UniqueFd connection_;
  std::optional<LoopDevice> device_;
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
  auto files = estate.take_all("file");
  auto device = std::make_unique<FuseAndLoop>(request, shown_range(request, info), std::move(files),
                                              estate.take("connection"), estate.take("intents"));
  Companion worker = VDISK_TRY(Companion::inherit(estate));
  device->go_on(std::move(worker), VDISK_TRY(LoopDevice::adopt(info.device_node, estate.take("device"))));
  return device;
}

}  // namespace

const Provider kFuseProvider = {
    .id = AttachProvider::kFuse, .refusal = refusal, .make = make, .adopt = take_over};

}  // namespace vdisk::attach
