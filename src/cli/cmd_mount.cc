// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "cli/volume_mount.h"
#include "serve/fuse/file_mount.h"

namespace vdisk::cli {

namespace {

/// Goes on as a server that no terminal can reach.
void leave_terminal() {
  ::setsid();
  static_cast<void>(::chdir("/"));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
}

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
    return serve_behind(session, std::move(options));
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
    const auto mounted = mount_volume(what);
    if (!mounted) return session.report(mounted.error(), words_.json);
    if (words_.json) {
      Json json = to_json(mounted->attachment);
      json["mounted"] = mounted->device;
      json["file_system"] = mounted->file_system;
      json["reason"] = mounted->reason;
      session.out.put(json_text(json) + "\n");
    } else if (!words_.quiet) {
      session.out.put(fmt::format("{}: {}, chosen because {}\n", printable(mounted->device),
                                  printable(mounted->file_system), mounted->reason));
    }
    return kFine;
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

  /// The server is a process of its own. It says what goes wrong until the folder can be used; the one that
  /// was called waits that long, and ends with its status.
  int serve_behind(Session& session, serve::FileMountOptions options) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return cannot_start(errno);
    UniqueFd from_server(pipe[0]), to_caller(pipe[1]);
    const pid_t server = ::fork();
    if (server < 0) return cannot_start(errno);
    if (server == 0) {
      from_server.reset();
      options.ready = [&session, &to_caller] {
        session.out.flush();
        leave_terminal();
        static_cast<void>(::write(to_caller.get(), "", 1));
        to_caller.reset();
      };
      return serve(session, std::move(options));
    }
    to_caller.reset();
    char byte = 0;
    ssize_t got;
    do {
      got = ::read(from_server.get(), &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1) return kFine;
    int status = 0;
    while (::waitpid(server, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    print_message("the server was killed before the folder could be used");
    return kFailed;
  }

  static int cannot_start(int error) {
    print_message("no server can be started: " + errno_text(error));
    return kFailed;
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
    const auto volume = is_mounted_volume(folder_);
    const Status unmounted = volume && *volume ? unmount_volume(folder_) : serve::unmount_files(folder_);
    return unmounted ? kFine : session.report(unmounted.error(), words_.json);
  }

 private:
  std::string folder_;
  OpenWords words_;
};

}  // namespace

const CommandRow kMountCommand = {
    .name = "mount",
    .arguments = "IMAGE[:PARTITION] DIR",
    .summary = "Mount a file system of an image, or the disk as plain files",
    .description =
        "Attaches the image and mounts the file system of its partition, of the only one that has one, or of "
        "the "
        "largest; says which, and why. Needs root. With --as-files mounts a folder with the file disk.raw, "
        "which is the "
        "whole disk, and partitionN.raw for each partition: programs that know nothing of images read and "
        "write "
        "them, and find holes where the image stores nothing. That needs no root where fusermount3 is "
        "installed. Both "
        "last until vdisk umount or the end of the system.",
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
