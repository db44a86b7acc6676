// SPDX-License-Identifier: Apache-2.0
#include "attach/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "attach/block_nodes.h"
#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

constexpr const char* kControl = "/dev/loop-control";
constexpr unsigned kLoopMajor = 7;
/// Others may take the device that was free a moment ago.
constexpr int kMostAttempts = 64;
constexpr int kGoneMilliseconds = 2000;

Result<UniqueFd> open_control() {
  UniqueFd fd(::open(kControl, O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  const int error = errno;
  if (error == EACCES || error == EPERM) {
    return fail_errno(
        faults::kNoPrivilege, error,
        "attaching a disk needs root (CAP_SYS_ADMIN and access to {}); without it, 'vdisk mount --as-files "
        "IMAGE DIR' shows the disk as a file",
        kControl);
  }
  return fail_errno(faults::kNoLoop, error, "{}: the kernel offers no loop devices; try 'modprobe loop'",
                    kControl);
}

loop_config config_of(const LoopSetup& setup) {
  loop_config config{};
  config.fd = static_cast<__u32>(setup.file);
  config.block_size = setup.logical_sector_bytes;
  config.info.lo_offset = setup.offset_bytes;
  config.info.lo_sizelimit = setup.length_bytes;
  config.info.lo_flags =
      LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (setup.read_only ? std::uint32_t{LO_FLAGS_READ_ONLY} : 0U);
  const std::size_t length = std::min(setup.name.size(), sizeof(config.info.lo_file_name) - 1);
  std::memcpy(config.info.lo_file_name, setup.name.data(), length);
  return config;
}

bool read_status(int fd, loop_info64& info) noexcept {
  info = {};
  return ::ioctl(fd, LOOP_GET_STATUS64, &info) == 0;
}

FileIdentity identity_of(const loop_info64& info) noexcept {
  // The kernel's own encoding of device numbers, which is that of stat() for the numbers that exist.
  return {.device = info.lo_device, .inode = info.lo_inode};
}

}  // namespace

Status may_attach_loop() {
  VDISK_TRY(open_control());
  return {};
}

Result<LoopDevice> LoopDevice::attach(const LoopSetup& setup) {
  const UniqueFd control = VDISK_TRY(open_control());
  const loop_config config = config_of(setup);
  int error = EBUSY;
  for (int attempt = 0; attempt < kMostAttempts && error == EBUSY; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) {
      return fail_errno(faults::kDevice, errno, "{}: the kernel gives no free loop device for {}", kControl,
                        setup.name);
    }
    const std::string node = fmt::format("/dev/loop{}", number);
    VDISK_TRY(make_node(node, makedev(kLoopMajor, static_cast<unsigned>(number))));
    UniqueFd fd(::open(node.c_str(), (setup.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!fd) return fail_errno(faults::kDevice, errno, "opening {} for {}", node, setup.name);
    if (::ioctl(fd.get(), LOOP_CONFIGURE, &config) != 0) {
      error = errno;
      // Somebody may be putting it in order (healing.h).
      ::poll(nullptr, 0, 1);
      continue;
    }
    // A kernel that looks for partitions does so at the first open after this, and drops all that it does not
    // find: it must have looked before there are ours.
    UniqueFd(::open(node.c_str(), O_RDONLY | O_CLOEXEC)).reset();
    return adopt(node, std::move(fd));
  }
  return fail_errno(faults::kDevice, error, "making a loop device of {}", setup.name);
}

Result<LoopDevice> LoopDevice::adopt(const std::string& node, UniqueFd fd) {
  LoopDevice device(node, std::move(fd));
  loop_info64 info{};
  if (!read_status(device.fd(), info))
    return fail_errno(faults::kDevice, errno, "asking {} for its file", node);
  device.backing_ = identity_of(info);
  device.direct_io_ = (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  return device;
}

void LoopDevice::starve() noexcept {
  loop_info64 info{};
  if (!read_status(fd(), info)) return;
  // Partitions first: the kernel measures their requests against the partition alone.
  shrink_partitions(fd(), node_);
  info.lo_sizelimit = 1;  // less than a sector, so none
  static_cast<void>(::ioctl(fd(), LOOP_SET_STATUS64, &info));
}

Status LoopDevice::remove() {
  fd_.reset();
  // Whoever watches devices (udev) may have it open for a moment.
  for (int waited = 0; waited < kGoneMilliseconds; waited += 10) {
    if (loop_state(node_, backing_) != DeviceState::kOurs) return {};
    ::poll(nullptr, 0, 10);
  }
  return fail(faults::kDevice, "{}: is still open somewhere; it goes when its last user lets it go", node_);
}

DeviceState loop_state(const std::string& node, FileIdentity backing) {
  const UniqueFd fd(::open(node.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISBLK(status.st_mode) ||
      major(status.st_rdev) != kLoopMajor) {
    return DeviceState::kForeign;
  }
  loop_info64 info{};
  if (!read_status(fd.get(), info)) return errno == ENXIO ? DeviceState::kFree : DeviceState::kForeign;
  return identity_of(info) == backing ? DeviceState::kOurs : DeviceState::kForeign;
}

}  // namespace vdisk::attach
