// SPDX-License-Identifier: Apache-2.0
#include "attach/fuse_provider.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "attach/faults.h"
#include "attach/fuse_worker.h"
#include "attach/loop_device.h"
#include "base/fault.h"
#include "serve/fuse/mount.h"

namespace vdisk::attach {

namespace {

class FuseAndLoop final : public ProvidedDevice {
 public:
  FuseAndLoop(Worker worker, UniqueFd mount, LoopDevice device)
      : worker_(std::move(worker)), mount_(std::move(mount)), device_(std::move(device)) {}

  const std::string& node() const noexcept override { return device_.node(); }
  int fd() const noexcept override { return device_.fd(); }
  FileIdentity backing() const noexcept override { return device_.backing(); }
  int ended_fd() const noexcept override { return worker_.ended.get(); }

  Status remove() override {
    const Status gone = device_.remove();
    // The folder goes with its last file, and the worker with the folder.
    mount_.reset();
    // Where the file stays in use, it goes under its users' feet.
    if (!gone) ::shutdown(worker_.socket.get(), SHUT_WR);
    const Status closed = await_worker(worker_);
    return gone ? closed : gone;
  }
  void abort() noexcept override {
    static_cast<void>(serve::abort_connection(minor(static_cast<dev_t>(backing().device))));
  }

 private:
  Worker worker_;
  UniqueFd mount_;
  LoopDevice device_;
};

Result<std::optional<std::string>> refusal(const DiskToServe&) {
  if (::access("/dev/fuse", R_OK | W_OK) == 0) return std::nullopt;
  return fmt::format("/dev/fuse: {}; try 'modprobe fuse'", errno_text(errno));
}

/// The name by which losetup and lsblk show the device's file.
std::string file_name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<std::unique_ptr<ProvidedDevice>> make(DiskToServe what) {
  const AttachRequest& request = what.request;
  const std::uint32_t sector_bytes = what.disk.geometry().logical_sector_bytes;
  const bool read_only = request.options.read_only;
  // The worker opens the image itself: it must be free by then.
  {
    const Disk closed = std::move(what.disk);
  }
  serve::FuseConnection connection = VDISK_TRY(serve::connect_hidden(read_only));
  const std::string name = file_name_of(request.path);
  Worker worker = VDISK_TRY(start_worker(
      {.request = request, .file_name = name, .range = what.range, .device = connection.device.get()}));
  // From here on the worker alone holds the connection: when it dies, the kernel fails what waits for it.
  connection.device.reset();
  const int mode = (read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
  const UniqueFd file(::openat(connection.mount.get(), name.c_str(), mode));
  if (!file)
    return fail_errno(faults::kDevice, errno, "{}: opening its file in the FUSE folder", request.path);
  LoopDevice device = VDISK_TRY(LoopDevice::attach({.file = file.get(),
                                                    .name = request.path,
                                                    .length_bytes = what.range.length,
                                                    .logical_sector_bytes = sector_bytes,
                                                    .read_only = read_only}));
  return std::make_unique<FuseAndLoop>(std::move(worker), std::move(connection.mount), std::move(device));
}

}  // namespace

const Provider kFuseProvider = {.id = AttachProvider::kFuse, .refusal = refusal, .make = make};

}  // namespace vdisk::attach
