// SPDX-License-Identifier: Apache-2.0
#include "attach/nbd_provider.h"

#include <sys/socket.h>
#include <unistd.h>

#include "attach/faults.h"
#include "attach/nbd_device.h"
#include "attach/worker.h"
#include "base/fault.h"
#include "serve/nbd/faults.h"
#include "serve/nbd/transmission.h"

namespace vdisk::attach {

namespace {

/// The keeper's part: it never reads or writes the image. It holds the files for their locks alone, so that
/// nobody can take the image between two workers; the device, for which the kernel waits for the next one;
/// and the memory of what no flush covers yet.
class Nbd final : public ProvidedDevice {
 public:
  Nbd(AttachRequest request, DiskRange range, std::vector<UniqueFd> files, UniqueFd intents)
      : request_(std::move(request)), range_(range), files_(std::move(files)), intents_(std::move(intents)) {}

  /// The first worker, and the device that it answers.
  Status begin(std::uint32_t sector_bytes) {
    worker_ = VDISK_TRY(start_worker(task()));
    device_.emplace(VDISK_TRY(NbdDevice::attach({.name = request_.path,
                                                 .length_bytes = range_.length,
                                                 .logical_sector_bytes = sector_bytes,
                                                 .read_only = request_.options.read_only},
                                                [this](UniqueFd end) { return give(end.get()); })));
    return {};
  }

  /// What another process began.
  void go_on(Companion worker, NbdDevice device) {
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
    if (!gone) device_->abort();
    if (!worker_.socket) return gone;
    if (!gone || !answers) ::shutdown(worker_.socket.get(), SHUT_WR);
    Status closed = await_companion(worker_);
    // The kernel's word that it is done does not arrive where the worker had lost its connection.
    if (!closed && is_lost(closed)) closed = {};
    return gone ? closed : gone;
  }
  void abort() noexcept override { device_->abort(); }

  void bequeath(Estate& estate) const override {
    for (const UniqueFd& file : files_) estate.add("file", file.get());
    estate.add("device", device_->fd());
    estate.add("intents", intents_.get());
  }

 private:
  static bool is_lost(const Status& ended) {
    return ended.error().id() == serve::nbd::faults::kConnectionLost.id;
  }

  /// The worker's end of a socket whose other end is the kernel's.
  Status give(int end) const {
    Estate connection;
    connection.add("connection", end);
    if (connection.send(worker_.socket.get())) return {};
    return fail(faults::kServerDied, "{}: the process that serves the image is gone", request_.path);
  }

  /// A successor of the worker that ended. One may be killed, too, even before it has begun; and the kernel
  /// takes its connection from one that is slow to answer.
  Status replace(Status ended) {
    worker_ = {};
    while (!ended && (ended.error().id() == faults::kServerDied.id || is_lost(ended)) &&
           limit_.allows_another()) {
      ended = [&]() -> Status {
        worker_ = VDISK_TRY(start_worker(task()));
        return device_->reconnect([this](UniqueFd end) { return give(end.get()); });
      }();
      if (ended) {
        entrust_again();
        return {};
      }
    }
    // Nobody will answer: all that waits fails.
    worker_ = {};
    device_->abort();
    return ended ? fail(faults::kServerDied, "{}: the process that served the image ended", request_.path)
                 : ended;
  }

  WorkerTask task() const {
    const auto serve = [this](const Disk& disk, int, KeeperSide& keeper) -> Status {
      keeper.say_ready();
      const UniqueFd connection = VDISK_TRY(keeper.receive_connection());
      serve::nbd::Transmission server(connection.get(), disk, range_, request_.options.read_only);
      return keeper.serve([&server] { return server.run(); }, [&server] { server.stop(); });
    };
    return {.request = request_, .intents = intents_.get(), .serve = serve};
  }

  const AttachRequest request_;
  const DiskRange range_;
  const std::vector<UniqueFd> files_;
  UniqueFd intents_;
  Companion worker_;
  std::optional<NbdDevice> device_;
  RestartLimit limit_;
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
  const DiskRange range{request.options.range ? request.options.range->at : DiskOffset{0}, info.size_bytes};
  auto files = estate.take_all("file");
  auto device = std::make_unique<Nbd>(request, range, std::move(files), estate.take("intents"));
  Companion worker = VDISK_TRY(Companion::inherit(estate));
  device->go_on(std::move(worker), VDISK_TRY(NbdDevice::adopt(info.device_node, estate.take("device"))));
  return device;
}

}  // namespace

const Provider kNbdProvider = {
    .id = AttachProvider::kNbd, .refusal = refusal, .make = make, .adopt = take_over};

}  // namespace vdisk::attach
