// SPDX-License-Identifier: Apache-2.0
#include "cli/volume_drivers.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "attach/faults.h"
#include "base/fault.h"
#include "cli/mounted_at.h"
#include "cli/run_program.h"
#include "serve/fuse/mount.h"

namespace vdisk::cli {

namespace {

namespace faults = attach::faults;

// Whoever may write to the image may write to every file on it, whoever owns that: fakeroot; and nobody else
// may: umask.
constexpr std::string_view kFakeRoot = "fakeroot";
constexpr std::string_view kOwnFiles = "uid={uid},gid={gid},umask=077";
// For drivers that do not name the volume themselves: umount looks for it.
constexpr std::string_view kNamed = "fsname={volume}";
constexpr std::string_view kForAll = "allow_other,default_permissions";

constexpr DriverRow ext(std::string_view type, std::string_view kernel_read_only) {
  return {.type = type,
          .kernel_read_only = kernel_read_only,
          .program = "fuse2fs",
          .package = "fuse2fs",
          .read_only_options = "ro,norecovery",
          .user_options = kFakeRoot};
}

constexpr std::array kDrivers = {
    ext("ext2", "ro"),
    ext("ext3", "ro,noload"),
    ext("ext4", "ro,noload"),
    DriverRow{.type = "xfs", .kernel_read_only = "ro,norecovery", .program = {}, .package = {}},
    DriverRow{.type = "btrfs", .kernel_read_only = "ro,rescue=nologreplay", .program = {}, .package = {}},
    DriverRow{.type = "ntfs",
              .kernel_read_only = "ro",
              .program = "ntfs-3g",
              .package = "ntfs-3g",
              .user_options = kOwnFiles,
              .needs_sharing = true},
    // For users it hands fusermount an option that this does not know ("user=NAME").
    DriverRow{.type = "exfat",
              .kernel_read_only = "ro",
              .program = "mount.exfat-fuse",
              .package = "exfat-fuse",
              .only_root = true},
    // fusefat calls its own writing experimental, and it breaks the table.
    DriverRow{.type = "vfat",
              .kernel_read_only = "ro",
              .program = "fusefat",
              .package = "fusefat",
              .options = kNamed,
              .root_options = kForAll,
              .only_reads = true},
    DriverRow{.type = "iso9660",
              .kernel_read_only = "ro",
              .program = "fuseiso",
              .package = "fuseiso",
              .options = kNamed,
              .root_options = kForAll},
    DriverRow{.type = "squashfs",
              .kernel_read_only = "ro",
              .program = "squashfuse",
              .package = "squashfuse",
              .options = kNamed,
              .root_options = kForAll},
};

void add(std::string& options, std::string_view more) {
  if (!more.empty()) options += fmt::format(",{}", more);
}

std::string options_of(const DriverRow& driver, const Volume& volume, bool read_only) {
  std::string options = "nosuid,nodev";
  add(options, driver.options);
  if (read_only) add(options, driver.read_only_options);
  add(options, ::geteuid() == 0 ? driver.root_options : driver.user_options);
  return fmt::format(fmt::runtime(options), fmt::arg("volume", volume.path), fmt::arg("uid", ::geteuid()),
                     fmt::arg("gid", ::getegid()));
}

/// What a driver said before the pages of help that some add.
std::string first_words(std::string said) {
  said.resize(std::min(said.size(), said.find("\n\n")));
  for (char& c : said) {
    if (c == '\n') c = ';';
  }
  return said.empty() ? "nothing" : said;
}

Status can_be_run(const DriverRow& driver, const Volume& volume, bool read_only) {
  if (driver.program.empty()) {
    return fail(faults::kNoFileSystem,
                "{}: holds {}, for which there is no driver but the kernel's: needs root", volume.name(),
                volume.type);
  }
  if (driver.only_root && ::geteuid() != 0) {
    return fail(faults::kNoFileSystem, "{}: holds {}: {} serves root only", volume.name(), volume.type,
                driver.program);
  }
  if (find_program(driver.program).empty()) {
    return fail(faults::kNoFileSystem, "{}: holds {}: {} is not there; install the package {}", volume.name(),
                volume.type, driver.program, driver.package);
  }
  if (driver.only_reads && !read_only) {
    return fail(faults::kNoFileSystem, "{}: holds {}: {} can be trusted to read only; mount with --read-only",
                volume.name(), volume.type, driver.program);
  }
  if (driver.needs_sharing && ::geteuid() != 0 && !serve::users_may_share()) {
    return fail(
        faults::kNoFileSystem,
        "{}: holds {}: {} serves users other than root only where /etc/fuse.conf says user_allow_other",
        volume.name(), volume.type, driver.program);
  }
  return {};
}

}  // namespace

const DriverRow* driver_of(std::string_view type) noexcept {
  for (const DriverRow& row : kDrivers) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

Status run_driver(const DriverRow& driver, const Volume& volume, const std::string& folder, bool read_only) {
  VDISK_TRY(can_be_run(driver, volume, read_only));
  std::vector<std::string> words = {find_program(driver.program)};
  // It would note its mounts in a file in the user's home.
  if (driver.program == "fuseiso") words.emplace_back("-n");
  words.insert(words.end(), {volume.path, folder, "-o", options_of(driver, volume, read_only)});
  std::string said;
  const int status = run_program(std::move(words), said);
  const auto mount = mounted_at(folder);
  const bool there = mount && *mount && (*mount)->type.starts_with("fuse") && (*mount)->source == volume.path;
  // The first question is answered when the driver has opened everything that it needs.
  struct statvfs facts{};
  if (there && status == 0 && ::statvfs(folder.c_str(), &facts) == 0) return {};
  const int error = errno;
  if (there) {
    static_cast<void>(serve::unmount(folder, /*even_if_busy=*/true));
    if (status == 0) {
      return fail_errno(faults::kMountRefused, error, "{}: {} ended at once", folder, driver.program);
    }
  }
  return fail(faults::kMountRefused, "{}: {} says: {}", folder, driver.program, first_words(std::move(said)));
}

}  // namespace vdisk::cli
