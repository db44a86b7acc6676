// SPDX-License-Identifier: Apache-2.0
#include "cli/volume_mount.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include "attach/faults.h"
#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk::cli {

namespace {

namespace faults = attach::faults;

/// A partition, or the disk, with the file system that is on it ("" if none is known).
struct Volume {
  std::string node;
  std::string type;
  std::uint64_t bytes = 0;
};

struct DriverRow {
  std::string_view type;               ///< As libblkid names it.
  std::string_view read_only_options;  ///< That keep a driver from replaying a journal.
  std::string_view package;            ///< Debian package of a driver for those whose kernel has none.
};
constexpr std::array kDrivers = {
    DriverRow{"ext2", "ro", "fuse2fs"},
    DriverRow{"ext3", "ro,noload", "fuse2fs"},
    DriverRow{"ext4", "ro,noload", "fuse2fs"},
    DriverRow{"xfs", "ro,norecovery", ""},
    DriverRow{"btrfs", "ro,rescue=nologreplay", ""},
    DriverRow{"ntfs", "ro", "ntfs-3g"},
    DriverRow{"exfat", "ro", "exfat-fuse"},
    DriverRow{"iso9660", "ro", "fuseiso"},
};

const DriverRow* driver_of(std::string_view type) {
  for (const DriverRow& row : kDrivers) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

Volume probe(const std::string& node) {
  Volume volume{.node = node, .type = {}, .bytes = 0};
  const UniqueFd fd(::open(node.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::ioctl(fd.get(), BLKGETSIZE64, &volume.bytes) != 0) return volume;
  const std::unique_ptr<blkid_struct_probe, void (*)(blkid_probe)> prober(::blkid_new_probe(),
                                                                          ::blkid_free_probe);
  if (!prober || ::blkid_probe_set_device(prober.get(), fd.get(), 0, 0) != 0) return volume;
  ::blkid_probe_enable_superblocks(prober.get(), 1);
  ::blkid_probe_set_superblocks_flags(prober.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  if (::blkid_do_safeprobe(prober.get()) != 0) return volume;
  const char* usage = nullptr;
  const char* type = nullptr;
  if (::blkid_probe_lookup_value(prober.get(), "USAGE", &usage, nullptr) != 0 ||
      std::string_view(usage) != "filesystem" ||
      ::blkid_probe_lookup_value(prober.get(), "TYPE", &type, nullptr) != 0) {
    return volume;
  }
  volume.type = type;
  return volume;
}

struct Choice {
  Volume volume;
  std::string reason;
};

Result<Choice> choose(const AttachmentInfo& disk, const std::optional<std::uint32_t>& wanted) {
  if (wanted) {
    const std::string node = fmt::format("{}p{}", disk.device_node, *wanted);
    for (const std::string& there : disk.partitions) {
      if (there == node) return Choice{probe(node), "it was asked for"};
    }
    return fail(faults::kNoPartition,
                "{}: has no partition {}; 'vdisk list --json' shows those of attached disks", disk.image_path,
                *wanted);
  }
  if (disk.partitions.empty()) return Choice{probe(disk.device_node), "the disk has no partitions"};
  std::vector<Volume> usable;
  for (const std::string& node : disk.partitions) {
    if (Volume volume = probe(node); !volume.type.empty()) usable.push_back(std::move(volume));
  }
  if (usable.empty()) {
    return fail(faults::kNoFileSystem, "{}: none of its {} partitions holds a file system that is known",
                disk.image_path, disk.partitions.size());
  }
  if (usable.size() == 1) return Choice{std::move(usable.front()), "it is the only one with a file system"};
  std::size_t largest = 0;
  for (std::size_t i = 1; i < usable.size(); ++i) {
    if (usable[i].bytes > usable[largest].bytes) largest = i;
  }
  return Choice{std::move(usable[largest]),
                fmt::format("it is the largest of {} with a file system", usable.size())};
}

/// Runs a program; what it said on standard error is in `said`. Its exit status, or 127.
int run_program(std::vector<std::string> words, std::string& said) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return 127;
  const UniqueFd ours(pipe[0]);
  UniqueFd theirs(pipe[1]);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDERR_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  theirs.reset();
  if (error != 0) {
    said = errno_text(error);
    return 127;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // A driver that goes on in the background may keep the pipe open: only what is there is taken.
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  std::array<char, 1024> buffer{};
  const ssize_t got = ::read(ours.get(), buffer.data(), buffer.size());
  if (got > 0) said.assign(buffer.data(), static_cast<std::size_t>(got));
  while (said.ends_with('\n')) said.pop_back();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

Status mount_node(const Volume& volume, const VolumeMount& what) {
  if (volume.type.empty()) {
    return fail(faults::kNoFileSystem, "{}: holds no file system that is known", volume.node);
  }
  const DriverRow* driver = driver_of(volume.type);
  std::string options = "nosuid,nodev";
  if (what.attach.read_only)
    options += fmt::format(",{}", driver == nullptr ? "ro" : driver->read_only_options);
  std::string said;
  const int status =
      run_program({"mount", "-t", volume.type, "-o", options, "--", volume.node, what.folder}, said);
  if (status == 0) return {};
  if (said.find("unknown filesystem type") != std::string::npos) {
    const std::string advice =
        driver == nullptr || driver->package.empty()
            ? std::string("this kernel has no driver for it")
            : fmt::format("this kernel has no driver for it; install the package {}", driver->package);
    return fail(faults::kNoFileSystem, "{}: holds {}: {}", volume.node, volume.type, advice);
  }
  return fail(faults::kMountRefused, "{}: {}", what.folder, said.empty() ? "mount failed" : said);
}

/// What is mounted at the folder, as the kernel names its source; "" if nothing is.
Result<std::string> source_of(const std::string& folder) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(folder.c_str(), nullptr), ::free);
  if (!real) return fail_errno(faults::kMountRefused, errno, "{}", folder);
  std::ifstream file("/proc/self/mountinfo");
  std::string source;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word, place, type, device;
    words >> word >> word >> word >> word >> place;
    while (words >> word && word != "-") {
    }
    words >> type >> device;
    // The last one is on top.
    if (place == real.get()) source = device;
  }
  return source;
}

}  // namespace

Result<MountedVolume> mount_volume(const VolumeMount& what) {
  AttachOptions options = what.attach;
  options.permanent = true;
  options.partitions = true;
  Attachment attachment = VDISK_TRY(Attachment::attach(what.image, options));
  const auto mounted = [&]() -> Result<MountedVolume> {
    Choice choice = VDISK_TRY(choose(attachment.info(), what.partition));
    VDISK_TRY(mount_node(choice.volume, what));
    return MountedVolume{.attachment = attachment.info(),
                         .device = choice.volume.node,
                         .file_system = choice.volume.type,
                         .reason = std::move(choice.reason)};
  }();
  if (!mounted) static_cast<void>(attachment.detach());
  return mounted;
}

Result<bool> is_mounted_volume(const std::string& folder) {
  const std::string source = VDISK_TRY(source_of(folder));
  if (!source.starts_with("/dev/")) return false;
  return VDISK_TRY(find_attachment(source)).has_value();
}

Status unmount_volume(const std::string& folder) {
  const std::string source = VDISK_TRY(source_of(folder));
  std::string said;
  if (run_program({"umount", "--", folder}, said) != 0) return fail(faults::kMountRefused, "{}", said);
  // A driver of the user's space goes on for a moment, and has the device open.
  Status gone;
  for (int attempt = 0; attempt < 20; ++attempt) {
    gone = detach(source);
    if (gone || gone.error().code() != win32::kBusy) return gone;
    // Another partition of the same disk may be mounted; then the disk stays.
    if (gone.error().reason().find("is mounted on") != std::string::npos) return {};
    ::usleep(100 * 1000);
  }
  return gone;
}

}  // namespace vdisk::cli
