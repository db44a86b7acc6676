// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_provider.h"

#include "attach/faults.h"
#include "attach/loop_device.h"
#include "base/fault.h"
#include "disk/direct.h"

namespace vdisk::attach {

namespace {

/// The disk stays open beside the device: it holds the image's lock, and closing it ends the VHDX's session.
/// The kernel holds the locked file, too, so the lock lives as long as the device even when this process is
/// killed.
class LoopOnFile final : public ProvidedDevice {
 public:
  LoopOnFile(Disk disk, LoopDevice device) : disk_(std::move(disk)), device_(std::move(device)) {}

  const std::string& node() const noexcept override { return device_.node(); }
  int fd() const noexcept override { return device_.fd(); }
  FileIdentity backing() const noexcept override { return device_.backing(); }
  Status remove() override {
    VDISK_TRY(device_.remove());
    return disk_.close();
  }

 private:
  Disk disk_;
  LoopDevice device_;
};

Result<std::optional<std::string>> refusal(const DiskToServe& what) {
  if (VDISK_TRY(find_direct_range(what.disk, what.range))) return std::nullopt;
  if (what.disk.layer_count() > 1) return "the image is differencing, so its bytes lie in several files";
  return "the disk's bytes do not lie in one run of the file";
}

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  const bool read_only = what.request.options.read_only;
  const auto direct = VDISK_TRY(find_direct_range(what.disk, what.range));
  VDISK_ASSERT(direct);
  if (!read_only) VDISK_TRY(begin_direct_writes(what.disk));
  LoopDevice device =
      VDISK_TRY(LoopDevice::attach({.file = direct->fd,
                                    .name = what.request.path,
                                    .offset_bytes = direct->from.bytes,
                                    .length_bytes = what.range.length,
                                    .logical_sector_bytes = what.disk.geometry().logical_sector_bytes,
                                    .read_only = read_only}));
  return std::make_unique<LoopOnFile>(std::move(what.disk), std::move(device));
}

}  // namespace

const Provider kLoopProvider = {.id = AttachProvider::kLoop, .refusal = refusal, .make = make};

}  // namespace vdisk::attach
