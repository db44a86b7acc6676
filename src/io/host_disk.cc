// SPDX-License-Identifier: Apache-2.0
#include "io/host_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <memory>

#include "base/unique_fd.h"
#include "io/host_volume.h"

namespace vdisk {

namespace {

// File systems whose data is on another host. linux/magic.h lacks some of them (statfs(2), "f_type").
constexpr std::uint32_t kRemoteFileSystems[] = {NFS_SUPER_MAGIC,       SMB_SUPER_MAGIC, 0xFF534D42 /* cifs */,
                                                0xFE534D42 /* smb2 */, V9FS_MAGIC,      CODA_SUPER_MAGIC,
                                                AFS_SUPER_MAGIC,       0x00C36400 /* ceph */};

std::optional<std::uint32_t> read_number(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[32];
  const ssize_t got = fd ? ::read(fd.get(), text, sizeof text) : -1;
  std::uint32_t value = 0;
  if (got <= 0 || std::from_chars(text, text + got, value).ec != std::errc{}) return std::nullopt;
  return value;
}

std::string sysfs_folder(dev_t device) {
  return fmt::format("/sys/dev/block/{}:{}", major(device), minor(device));
}

// A partition has no such properties of its own; its disk's are one level up.
std::optional<std::uint32_t> device_number(dev_t device, const char* name) {
  const std::string base = sysfs_folder(device);
  if (const auto value = read_number(fmt::format("{}/{}", base, name))) return value;
  return read_number(fmt::format("{}/../{}", base, name));
}

std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::optional<std::string>(real.get()) : std::nullopt;
}

// The node of the device that a folder of sysfs describes.
std::optional<std::string> node_of(const std::string& folder) {
  const auto real = real_path(folder);
  if (!real) return std::nullopt;
  std::string name = real->substr(real->rfind('/') + 1);
  std::ranges::replace(name, '!', '/');  // sysfs' way to write a name with a slash
  return "/dev/" + name;
}

}  // namespace

HostDisk host_disk_of(const std::string& path) {
  HostDisk host;
  struct statfs volume{};
  if (::statfs(path.c_str(), &volume) == 0) {
    const auto type = static_cast<std::uint32_t>(volume.f_type);
    host.remote = std::ranges::find(kRemoteFileSystems, type) != std::end(kRemoteFileSystems);
    const auto block = static_cast<std::uint64_t>(volume.f_bsize);
    if (block >= 512 && block <= 4096) host.physical_sector_bytes = static_cast<std::uint32_t>(block);
  }
  struct stat file{};
  if (::stat(path.c_str(), &file) == 0) {
    const dev_t device = S_ISBLK(file.st_mode) ? file.st_rdev : file.st_dev;
    host.logical_sector_bytes =
        device_number(device, "queue/logical_block_size").value_or(host.logical_sector_bytes);
    host.physical_sector_bytes =
        device_number(device, "queue/physical_block_size").value_or(host.physical_sector_bytes);
    host.removable = device_number(device, "removable").value_or(0) != 0;
  }
  return host;
}

bool is_block_device(const std::string& path) {
  struct stat file{};
  return ::stat(path.c_str(), &file) == 0 && S_ISBLK(file.st_mode);
}

std::optional<std::string> block_node_of(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return std::nullopt;
  if (S_ISBLK(file.st_mode)) return node_of(sysfs_folder(file.st_rdev));
  if (auto node = node_of(sysfs_folder(file.st_dev))) return node;
  // btrfs and its like have device numbers of their own; their mount names the device.
  const auto mount = mount_of(path);
  return mount && mount->source.starts_with("/dev/") ? real_path(mount->source) : std::nullopt;
}

std::string whole_disk_of(const std::string& node) {
  struct stat file{};
  if (::stat(node.c_str(), &file) != 0 || !S_ISBLK(file.st_mode)) return node;
  const std::string folder = sysfs_folder(file.st_rdev);
  if (!read_number(folder + "/partition")) return node;
  return node_of(folder + "/..").value_or(node);
}

SectorSizes device_sector_sizes(const File& file) noexcept {
  SectorSizes sizes;
  struct stat facts{};
  if (file.fd() < 0 || ::fstat(file.fd(), &facts) != 0 || !S_ISBLK(facts.st_mode)) return sizes;
  int logical = 0;
  unsigned physical = 0;
  if (::ioctl(file.fd(), BLKSSZGET, &logical) == 0 && logical >= 512)
    sizes.logical_bytes = static_cast<std::uint32_t>(logical);
  if (::ioctl(file.fd(), BLKPBSZGET, &physical) == 0) sizes.physical_bytes = physical;
  sizes.physical_bytes = std::max(sizes.physical_bytes, sizes.logical_bytes);
  return sizes;
}

std::optional<std::uint64_t> host_file_size(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(file.st_size);
}

}  // namespace vdisk
