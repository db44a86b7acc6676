// SPDX-License-Identifier: Apache-2.0
#include "cli/user_mount.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>

#include "attach/faults.h"
#include "base/fault.h"
#include "cli/mounted_at.h"
#include "cli/volume_choice.h"
#include "cli/volume_drivers.h"
#include "serve/fuse/mount.h"

namespace vdisk::cli {

namespace {

namespace faults = attach::faults;

constexpr std::string_view kFolderName = "vdisk-mount-";
constexpr std::string_view kFiles = "files";
constexpr std::string_view kBeforeNumber = "partition";
constexpr std::string_view kAfterNumber = ".raw";

/// The path becomes an option of drivers, which take their options apart at commas and backslashes.
bool is_plain(std::string_view path) {
  return path.starts_with('/') && std::ranges::all_of(path, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view("/._-").find(c) != std::string_view::npos;
         });
}

VolumePaths paths_in(const std::string& files, const std::string& image) {
  VolumePaths paths = {.image = image,
                       .disk = files + "/disk.raw",
                       .partitions = {},
                       .before_number = fmt::format("{}/{}", files, kBeforeNumber),
                       .after_number = std::string(kAfterNumber)};
  std::map<std::uint32_t, std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(files, error)) {
    const std::string name = entry.path().filename().string();
    std::uint32_t number = 0;
    if (!name.starts_with(kBeforeNumber)) continue;
    std::from_chars(name.data() + kBeforeNumber.size(), name.data() + name.size(), number);
    found[number] = entry.path().string();
  }
  for (auto& [number, path] : found) paths.partitions.push_back(std::move(path));
  return paths;
}

Result<MountedVolume> mount_one(const VolumeMount& what, const std::string& files) {
  const VolumeChoice choice = VDISK_TRY(choose_volume(paths_in(files, what.image), what.partition));
  const Volume& volume = choice.volume;
  if (volume.type.empty()) {
    return fail(faults::kNoFileSystem, "{}: {} holds no file system that is known", what.image,
                volume.name());
  }
  const DriverRow* driver = driver_of(volume.type);
  if (driver == nullptr) {
    return fail(faults::kNoFileSystem,
                "{}: {} holds {}, for which no driver that needs no root is known here", what.image,
                volume.name(), volume.type);
  }
  VDISK_TRY(run_driver(*driver, volume, what.folder, what.attach.read_only));
  if (const Status hidden = serve::unmount(files, /*even_if_busy=*/true); !hidden) {
    static_cast<void>(serve::unmount(what.folder, /*even_if_busy=*/true));
    return std::unexpected(hidden.error());
  }
  return MountedVolume{.attachment = {},
                       .volume = volume.name(),
                       .file_system = volume.type,
                       .driver = std::string(driver->program),
                       .reason = choice.reason};
}

}  // namespace

Result<PrivateFolder> PrivateFolder::make() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string base =
      runtime != nullptr && is_plain(runtime) && ::access(runtime, W_OK | X_OK) == 0 ? runtime : "/tmp";
  std::string path = fmt::format("{}/{}XXXXXX", base, kFolderName);
  if (::mkdtemp(path.data()) == nullptr) return fail_errno(faults::kMountRefused, errno, "{}", path);
  PrivateFolder folder(std::move(path));
  if (::mkdir(folder.files().c_str(), 0700) != 0) {
    return fail_errno(faults::kMountRefused, errno, "{}", folder.files());
  }
  return folder;
}

PrivateFolder::~PrivateFolder() {
  if (path_.empty()) return;
  ::rmdir(files().c_str());
  ::rmdir(path_.c_str());
}

std::string PrivateFolder::files() const { return fmt::format("{}/{}", path_, kFiles); }

std::string PrivateFolder::closing_name() const { return std::filesystem::path(path_).filename().string(); }

Status can_be_mounted_at(const std::string& folder) {
  struct stat stat{};
  if (::stat(folder.c_str(), &stat) != 0) return fail_errno(faults::kMountRefused, errno, "{}", folder);
  if (!S_ISDIR(stat.st_mode)) return fail(faults::kMountRefused, "{}: is not a folder", folder);
  if (::access(folder.c_str(), W_OK) != 0) {
    return fail_errno(faults::kMountRefused, errno, "{}: users mount only where they may write", folder);
  }
  return {};
}

Result<MountedVolume> mount_served_volume(const VolumeMount& what, const PrivateFolder& served) {
  auto mounted = mount_one(what, served.files());
  if (!mounted) static_cast<void>(serve::unmount_files(served.files(), served.closing_name()));
  return mounted;
}

Result<std::string> served_volume_at(const std::string& folder) {
  const auto mount = VDISK_TRY(mounted_at(folder));
  if (!mount || !mount->type.starts_with("fuse")) return std::string();
  const std::filesystem::path files = std::filesystem::path(mount->source).parent_path();
  std::string name = files.parent_path().filename().string();
  if (files.filename() != kFiles || !name.starts_with(kFolderName)) return std::string();
  return name;
}

}  // namespace vdisk::cli
