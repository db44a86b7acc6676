// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <charconv>
#include <filesystem>

#include "base/fault.h"
#include "cli/background_server.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "cli/user_mount.h"
#include "cli/volume_mount.h"
#include "serve/fuse/file_mount.h"

namespace vdisk::cli {

namespace {

class MountCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image; IMAGE:N is its partition N")->required();
    app.add_option("DIR", folder_, "The folder to mount at")->required();
    app.add_flag("--as-files", as_files_, "Show the disk and its partitions as plain files; needs no root");
    app.add_flag("--read-only", read_only_, "Without write access; no journal is replayed");
    app.add_flag("--foreground", foreground_,
                 "With --as-files: serve until interrupted, not in the background");
    words_.declare(app);
  }

  int run(Session& session) override {
    if (!as_files_) return mount_file_system(session);
    serve::FileMountOptions options;
    options.open = words_.open_options();
    options.open.writable = !read_only_;
    options.cancellation = session.cancellation;
    if (foreground_) return serve(session, std::move(options));
    return serve_behind(session, words_.json, image_, folder_, std::move(options));
  }

 private:
  int mount_file_system(Session& session) {
    if (foreground_) throw CLI::ValidationError("--foreground", "goes with --as-files");
    VolumeMount what;
    what.image = image_;
    what.folder = folder_;
    split_partition(what);
    what.attach.open = words_.open_options();
    what.attach.read_only = read_only_ || inspect(what.image, what.attach.open).info.format == FormatId::kIso;
    return ::geteuid() == 0 ? mount_by_kernel(session, what) : mount_by_user(session, what);
  }

  int mount_by_kernel(Session& session, const VolumeMount& what) {
    const auto mounted = mount_volume(what);
    if (!mounted) return session.report(mounted.error(), words_.json);
    tell(session, what, *mounted);
    return kFine;
  }

  int mount_by_user(Session& session, VolumeMount& what) {
    std::error_code error;
    // Drivers go elsewhere before they are done with their arguments, and read a dash as an option.
    what.folder = std::filesystem::absolute(what.folder, error).string();
    if (const Status fine = can_be_mounted_at(what.folder); !fine) {
      return session.report(fine.error(), words_.json);
    }
    const auto place = PrivateFolder::make();
    if (!place) return session.report(place.error(), words_.json);
    serve::FileMountOptions options;
    options.open = what.attach.open;
    options.open.writable = !what.attach.read_only;
    options.shared = true;
    options.closing_name = place->closing_name();
    const int served = serve_behind(session, words_.json, what.image, place->files(), std::move(options),
                                    /*until_unmounted=*/true);
    if (served != kFine) return served;
    const auto mounted = mount_served_volume(what, *place);
    if (!mounted) return session.report(mounted.error(), words_.json);
    tell(session, what, *mounted);
    return kFine;
  }

  void tell(Session& session, const VolumeMount& what, const MountedVolume& mounted) {
    if (words_.json) {
      Json json = mounted.attachment ? to_json(*mounted.attachment)
                                     : Json{{"image", what.image}, {"read_only", what.attach.read_only}};
      json["mounted"] = mounted.volume;
      json["file_system"] = mounted.file_system;
      json["driver"] = mounted.driver;
      json["reason"] = mounted.reason;
      session.out.put(json_text(json) + "\n");
    } else if (!words_.quiet) {
      session.out.put(fmt::format(
          "{}: {} by {}, chosen because {}\n", printable(mounted.volume), printable(mounted.file_system),
          mounted.driver == "kernel" ? "the kernel" : mounted.driver, mounted.reason));
    }
  }

  /// "disk.vhdx:2", unless there is a file of that name.
  static void split_partition(VolumeMount& what) {
    const auto colon = what.image.rfind(':');
    if (colon == std::string::npos || ::access(what.image.c_str(), F_OK) == 0) return;
    const char* const begin = what.image.data() + colon + 1;
    const char* const end = what.image.data() + what.image.size();
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(begin, end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return;
    what.partition = number;
    what.image.resize(colon);
  }

  int serve(Session& session, serve::FileMountOptions options) {
    const Status served = serve::mount_as_files(image_, folder_, options);
    return served ? kFine : session.report(served.error(), words_.json);
  }

  std::string image_;
  std::string folder_;
  bool as_files_ = false;
  bool read_only_ = false;
  bool foreground_ = false;
  OpenWords words_;
};

class UmountCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("DIR", folder_, "The folder")->required();
    words_.declare_output(app);
  }

  int run(Session& session) override {
    const Status unmounted = unmount();
    return unmounted ? kFine : session.report(unmounted.error(), words_.json);
  }

 private:
  Status unmount() const {
    if (const auto volume = is_mounted_volume(folder_); volume && *volume) return unmount_volume(folder_);
    const auto name = served_volume_at(folder_);
    return name && !name->empty() ? serve::unmount_files(folder_, *name) : serve::unmount_files(folder_);
  }

  std::string folder_;
  OpenWords words_;
};

}  // namespace

const CommandRow kMountCommand = {
    .name = "mount",
    .arguments = "IMAGE[:PARTITION] DIR",
    .summary = "Mount a file system of an image, or the disk as plain files",
    .description =
        "Mounts the file system of the partition, of the only one that has one, or of the largest; says "
        "which, "
        "and why. As root attaches the image and uses the kernel's driver, else shows it by a driver of the "
        "user's space (fuse2fs, ntfs-3g, fuseiso ...), whose package is named where it is missing. With "
        "--as-files mounts a folder with the file disk.raw, which is the whole disk, and partitionN.raw for "
        "each "
        "partition: programs that know nothing of images read and write them, and find holes where the image "
        "stores nothing. Needs no root where fusermount3 is installed. All last until vdisk umount or the "
        "end "
        "of the system.",
    .examples =
        "vdisk mount disk.vhdx mnt\n"
        "vdisk mount --read-only disk.vhdx:2 mnt\n"
        "vdisk mount --as-files disk.vhdx mnt && file -s mnt/partition1.raw\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<MountCommand>(); },
};

const CommandRow kUmountCommand = {
    .name = "umount",
    .arguments = "DIR",
    .summary = "Unmount what vdisk mount has mounted",
    .description =
        "Unmounts the folder, waits until the image behind it is closed, and fails if it could not be closed "
        "cleanly. "
        "A folder that is in use stays mounted.",
    .examples = "vdisk umount mnt\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<UmountCommand>(); },
};

}  // namespace vdisk::cli
