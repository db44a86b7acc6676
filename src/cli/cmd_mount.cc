// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "cli/output_text.h"
#include "cli/tool.h"
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
    app.add_option("IMAGE", image_, "The image")->required();
    app.add_option("DIR", folder_, "The folder to mount at")->required();
    app.add_flag("--as-files", as_files_, "Show the disk and its partitions as plain files")->required();
    app.add_flag("--read-only", read_only_, "Open the image for reading alone");
    app.add_flag("--foreground", foreground_, "Serve until interrupted, instead of in the background");
    words_.declare(app);
  }

  int run(Session& session) override {
    serve::FileMountOptions options;
    options.open = words_.open_options();
    options.open.writable = !read_only_;
    options.cancellation = session.cancellation;
    if (foreground_) return serve(session, std::move(options));
    return serve_behind(session, std::move(options));
  }

 private:
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
    const Status unmounted = serve::unmount_files(folder_);
    return unmounted ? kFine : session.report(unmounted.error(), words_.json);
  }

 private:
  std::string folder_;
  OpenWords words_;
};

}  // namespace

const CommandRow kMountCommand = {
    .name = "mount",
    .arguments = "--as-files IMAGE DIR",
    .summary = "Show a disk and its partitions as plain files in a folder",
    .description =
        "Mounts a folder with the file disk.raw, which is the whole disk, and partitionN.raw for each "
        "partition. "
        "Programs that know nothing of images read and write them, and find holes where the image stores "
        "nothing. "
        "Needs no root where fusermount3 is installed. Lasts until vdisk umount, umount, or the end of the "
        "system.",
    .examples =
        "vdisk mount --as-files disk.vhdx mnt && file -s mnt/partition1.raw\n"
        "vdisk mount --as-files --read-only old.vhd mnt\n",
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
