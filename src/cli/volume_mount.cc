// SPDX-License-Identifier: Apache-2.0
#include "cli/volume_mount.h"

#include <unistd.h>

#include <string_view>
#include <utility>

#include "attach/faults.h"
#include "base/fault.h"
#include "cli/mounted_at.h"
#include "cli/run_program.h"
#include "cli/volume_choice.h"
#include "cli/volume_drivers.h"

namespace vdisk::cli {

namespace {

namespace faults = attach::faults;

constexpr int kPauseMicroseconds = 100 * 1000;
constexpr int kMostPauses = 100;

/// Who has mounted the volume: a program where the kernel has none.
Result<std::string> mount_node(const Volume& volume, const VolumeMount& what, std::string& reason) {
  if (volume.type.empty()) {
    return fail(faults::kNoFileSystem, "{}: holds no file system that is known", volume.path);
  }
  const DriverRow* driver = driver_of(volume.type);
  std::string options = "nosuid,nodev";
  if (what.attach.read_only)
    options += fmt::format(",{}", driver == nullptr ? "ro" : driver->kernel_read_only);
  std::string said;
  const int status =
      run_program({"mount", "-t", volume.type, "-o", options, "--", volume.path, what.folder}, said);
  if (status == 0) {
    const auto mount = VDISK_TRY(mounted_at(what.folder));
    const bool fuse = mount && mount->type.starts_with("fuse");
    return std::string(fuse && driver != nullptr ? driver->program : "kernel");
  }
  if (said.find("unknown filesystem type") == std::string::npos) {
    return fail(faults::kMountRefused, "{}: {}", what.folder, said.empty() ? "mount failed" : said);
  }
  if (driver == nullptr || driver->program.empty()) {
    return fail(faults::kNoFileSystem, "{}: holds {}: this kernel has no driver for it", volume.path,
                volume.type);
  }
  VDISK_TRY(run_driver(*driver, volume, what.folder, what.attach.read_only));
  reason += "; this kernel has no driver for it";
  return std::string(driver->program);
}

}  // namespace

Result<MountedVolume> mount_volume(const VolumeMount& what) {
  AttachOptions options = what.attach;
  options.permanent = true;
  options.partitions = true;
  Attachment attachment = VDISK_TRY(Attachment::attach(what.image, options));
  const auto mounted = [&]() -> Result<MountedVolume> {
    const AttachmentInfo& disk = attachment.info();
    const VolumePaths paths = {.image = disk.image_path,
                               .disk = disk.device_node,
                               .partitions = disk.partitions,
                               .before_number = disk.device_node + "p",
                               .after_number = {}};
    VolumeChoice choice = VDISK_TRY(choose_volume(paths, what.partition));
    std::string driver = VDISK_TRY(mount_node(choice.volume, what, choice.reason));
    return MountedVolume{.attachment = disk,
                         .volume = choice.volume.path,
                         .file_system = choice.volume.type,
                         .driver = std::move(driver),
                         .reason = std::move(choice.reason)};
  }();
  if (!mounted) static_cast<void>(attachment.detach());
  return mounted;
}

Result<bool> is_mounted_volume(const std::string& folder) {
  const auto mount = VDISK_TRY(mounted_at(folder));
  if (!mount || !mount->source.starts_with("/dev/")) return false;
  return VDISK_TRY(find_attachment(mount->source)).has_value();
}

Status unmount_volume(const std::string& folder) {
  const auto mount = VDISK_TRY(mounted_at(folder));
  if (!mount) return fail(faults::kMountRefused, "{}: nothing is mounted there", folder);
  std::string said;
  if (run_program({"umount", "--", folder}, said) != 0) return fail(faults::kMountRefused, "{}", said);
  // A driver of the user's space goes on until it has written everything, and has the device open.
  Status gone;
  for (int pause = 0; pause < kMostPauses; ++pause) {
    gone = detach(mount->source);
    if (gone || gone.error().code() != win32::kBusy) return gone;
    // Another partition of the same disk may be mounted; then the disk stays.
    if (gone.error().reason().find("is mounted on") != std::string::npos) return {};
    ::usleep(kPauseMicroseconds);
  }
  return gone;
}

}  // namespace vdisk::cli
