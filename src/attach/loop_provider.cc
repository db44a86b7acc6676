// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_provider.h"

#include <sys/socket.h>

#include "attach/faults.h"
#include "attach/loop_device.h"
#include "base/fault.h"
#include "disk/direct.h"

namespace vdisk::attach {

namespace {

/// The files stay open beside the device for their locks. The kernel holds the locked file, too, so the lock
/// lives as long as the device even when nobody is left here.
class LoopOnFile final : public ProvidedDevice {
 public:
  LoopOnFile(std::string image, std::vector<UniqueFd> files, LoopDevice device, Companion standby)
      : image_(std::move(image)),
        files_(std::move(files)),
        device_(std::move(device)),
        standby_(std::move(standby)) {}

  const std::string& node() const noexcept override { return device_.node(); }
  int fd() const noexcept override { return device_.fd(); }
  FileIdentity backing() const noexcept override { return device_.backing(); }
  const Companion& companion() const noexcept override { return standby_; }

  Status revive() override {
    static_cast<void>(await_companion(standby_));
    return replace();
  }
  Status renew() override {
    end_standby();
    return replace();
  }

  Status remove() override {
    end_standby();
    const Status gone = device_.remove();
    // Before anybody hears that it is gone: then the image is free.
    files_.clear();
    return gone;
  }
  void abort() noexcept override { device_.starve(); }

  void bequeath(Estate& estate) const override {
    for (const UniqueFd& file : files_) estate.add("file", file.get());
    estate.add("device", device_.fd());
  }

 private:
  /// The device needs nobody: where no other can be had, it goes on without.
  Status replace() {
    standby_ = {};
    if (!limit_.allows_another()) return {};
    if (auto another = start_idle_companion(image_)) {
      standby_ = *std::move(another);
      entrust_again();
    }
    return {};
  }
  /// What it was left with is closed when this returns; one that is stopped ends when it goes on.
  void end_standby() const {
    if (!standby_.socket) return;
    standby_.release();
    ::shutdown(standby_.socket.get(), SHUT_WR);
  }

  const std::string image_;
  std::vector<UniqueFd> files_;
  LoopDevice device_;
  Companion standby_;
  RestartLimit limit_;
};

Result<std::optional<std::string>> refusal(const DiskToServe& what) {
  if (const Status may = may_attach_loop(); !may) return may.error().message();
  if (VDISK_TRY(find_direct_range(what.disk, what.range))) return std::nullopt;
  if (what.disk.layer_count() > 1) return "the image is differencing, so its bytes lie in several files";
  return "the disk's bytes do not lie in one run of the file";
}

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  const bool read_only = what.request.options.read_only;
  const auto direct = VDISK_TRY(find_direct_range(what.disk, what.range));
  VDISK_ASSERT(direct);
  std::vector<UniqueFd> files = hold_files(what.disk);
  const std::uint32_t sector_bytes = what.disk.geometry().logical_sector_bytes;
  if (!read_only) {
    VDISK_TRY(begin_direct_writes(what.disk));
    // The marks are in the file, and what the device writes goes past the session.
    VDISK_TRY(what.disk.close());
  }
  Companion standby = VDISK_TRY(start_idle_companion(what.request.path));
  LoopDevice device = VDISK_TRY(LoopDevice::attach({.file = direct->fd,
                                                    .name = what.request.path,
                                                    .offset_bytes = direct->from.bytes,
                                                    .length_bytes = what.range.length,
                                                    .logical_sector_bytes = sector_bytes,
                                                    .read_only = read_only}));
  return std::make_unique<LoopOnFile>(what.request.path, std::move(files), std::move(device),
                                      std::move(standby));
}

Result<std::unique_ptr<ProvidedDevice>> take_over(const AttachRequest& request, const AttachmentInfo& info,
                                                  Estate& estate) {
  auto files = estate.take_all("file");
  Companion standby = VDISK_TRY(Companion::inherit(estate));
  return std::make_unique<LoopOnFile>(request.path, std::move(files),
                                      VDISK_TRY(LoopDevice::adopt(info.device_node, estate.take("device"))),
                                      std::move(standby));
}

}  // namespace

const Provider kLoopProvider = {
    .id = AttachProvider::kLoop, .refusal = refusal, .make = make, .adopt = take_over};

}  // namespace vdisk::attach
