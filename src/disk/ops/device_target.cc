// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/device_target.h"

#include <algorithm>

#include "base/checked.h"
#include "disk/ops/content.h"
#include "disk/ops/faults.h"
#include "io/posix_file.h"

namespace vdisk::ops {

namespace {

/// Devices that cannot clear ranges at once are written to: cancellation is looked at between pieces.
constexpr std::uint64_t kClearedPieceBytes = 64 * kMiB;

}  // namespace

Result<ConvertOptions> options_for_device(const std::string& path, const ConvertOptions& options) {
  ConvertOptions device = options;
  const bool raw = device.target.format.value_or(FormatId::kRaw) == FormatId::kRaw;
  if (!raw || options.azure || !options.target.parent.empty()) {
    return fail(faults::kDeviceKind,
                "{}: is a block device, which takes the raw bytes of a disk; leave out --format, --azure and "
                "--parent",
                path);
  }
  device.target.format = FormatId::kRaw;
  return device;
}

Result<std::unique_ptr<File>> open_device_target(const std::string& path, std::uint64_t size) {
  std::unique_ptr<File> device = VDISK_TRY(
      open_posix_file(path, {.writable = true, .lock = true, .allow_block_device = true, .trace = {}}));
  const std::uint64_t room = VDISK_TRY(device->size());
  if (room < size) {
    return fail(faults::kDeviceSmall, "{}: the device has {} bytes, the disk {}; nothing was written", path,
                room, size);
  }
  return device;
}

Status DeviceWriter::place(DiskRange range, std::vector<Placement>& places) {
  VDISK_TRY(clear_up_to(range.at.bytes));
  places.push_back({range, FileOffset{range.at.bytes}});
  done_ = range.end();
  return {};
}

Status DeviceWriter::clear_up_to(std::uint64_t end) {
  while (done_ < end) {
    VDISK_TRY(check_cancelled(control_, "the conversion"));
    const std::uint64_t piece = std::min(end - done_, kClearedPieceBytes - done_ % kClearedPieceBytes);
    VDISK_TRY(device_.punch(FileOffset{done_}, piece));
    done_ += piece;
  }
  return {};
}

}  // namespace vdisk::ops
