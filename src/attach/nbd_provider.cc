// SPDX-License-Identifier: Apache-2.0
#include "attach/nbd_provider.h"

#include <unistd.h>

#include "attach/faults.h"
#include "attach/nbd_device.h"
#include "attach/served_device.h"
#include "base/fault.h"
#include "serve/nbd/faults.h"
#include "serve/nbd/transmission.h"

namespace vdisk::attach {

namespace {

/// The kernel waits with the device for the next worker.
class Nbd final : public ServedDevice {
 public:
  Nbd(const AttachRequest& request, DiskRange range, std::vector<UniqueFd> files, UniqueFd intents)
      : ServedDevice(request, range, std::move(files), std::move(intents)) {}

  /// The first worker, and the device that it answers.
  Status begin(std::uint32_t sector_bytes) {
    set_worker(VDISK_TRY(start_worker(task())));
    device_.emplace(VDISK_TRY(NbdDevice::attach({.name = request().path,
                                                 .length_bytes = range().length,
                                                 .logical_sector_bytes = sector_bytes,
                                                 .read_only = read_only()},
                                                [this](UniqueFd end) { return give(end.get()); })));
    return {};
  }

  /// What another process began.
  void go_on(Companion worker, NbdDevice device) {
    set_worker(std::move(worker));
    device_.emplace(std::move(device));
  }

  const std::string& node() const noexcept override { return device_->node(); }
  int fd() const noexcept override { return device_->fd(); }
  FileIdentity backing() const noexcept override { return device_->backing(); }
  void abort() noexcept override { device_->abort(); }

 private:
  /// The kernel takes its connection from a worker that is slow to answer.
  bool is_disconnected(const Error& end) const noexcept override {
    return end.id() == serve::nbd::faults::kConnectionLost.id;
  }
  Status start_successor() override {
    set_worker(VDISK_TRY(start_worker(task())));
    return device_->reconnect([this](UniqueFd end) { return give(end.get()); });
  }
  void give_up() noexcept override { device_->abort(); }
  Status remove_device() override {
    Status gone = device_->remove();
    if (!gone) device_->abort();
    return gone;
  }

  /// The worker's end of a socket whose other end is the kernel's.
  Status give(int end) const {
    Estate connection;
    connection.add("connection", end);
    if (connection.send(worker().socket.get())) return {};
    return fail(faults::kServerDied, "{}: the process that serves the image is gone", request().path);
  }
  WorkerTask task() const {
    const auto serve = [this](const Disk& disk, int, KeeperSide& keeper) -> Status {
      keeper.say_ready();
      const UniqueFd connection = VDISK_TRY(keeper.receive_connection());
      serve::nbd::Transmission server(connection.get(), disk, range(), read_only());
      return keeper.serve([&server] { return server.run(); }, [&server] { server.stop(); });
    };
    return {.request = request(), .intents = intents(), .serve = serve};
  }

  std::optional<NbdDevice> device_;
};

Result<std::optional<std::string>> refusal(const DiskToServe&) { return no_nbd(); }

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  auto device = std::make_unique<Nbd>(what.request, what.range, hold_files(what.disk),
                                      VDISK_TRY(make_intents(what.request.options.read_only)));
  VDISK_TRY(device->begin(what.disk.geometry().logical_sector_bytes));
  return device;
}

Result<std::unique_ptr<ProvidedDevice>> take_over(const AttachRequest& request, const AttachmentInfo& info,
                                                  Estate& estate) {
  auto files = estate.take_all("file");
  auto device =
      std::make_unique<Nbd>(request, shown_range(request, info), std::move(files), estate.take("intents"));
  Companion worker = VDISK_TRY(Companion::inherit(estate));
  device->go_on(std::move(worker), VDISK_TRY(NbdDevice::adopt(info.device_node, estate.take("device"))));
  return device;
}

}  // namespace

const Provider kNbdProvider = {
    .id = AttachProvider::kNbd, .refusal = refusal, .make = make, .adopt = take_over};

}  // namespace vdisk::attach
