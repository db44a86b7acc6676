// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "io/host_volume.h"
#include "serve/fuse/faults.h"

// The C library's <sys/mount.h> of Debian 12 has the calls; nobody else's need be there.
extern char** environ;

namespace vdisk::serve {

namespace {

constexpr const char* kDevicePath = "/dev/fuse";
constexpr const char* kHelper = "fusermount3";
constexpr const char* kControlFolder = "/sys/fs/fuse/connections";
constexpr const char* kSettings = "/etc/fuse.conf";
constexpr const char* kSubtype = "vdisk";

Result<UniqueFd> open_device() {
  UniqueFd device(::open(kDevicePath, O_RDWR | O_CLOEXEC));
  if (device) return device;
  return fail_errno(faults::kNoFuse, errno,
                    "{} cannot be opened; is the kernel's FUSE there (modprobe fuse)?", kDevicePath);
}

std::unexpected<Error> refused(int error, const std::string& where) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return fail_errno(faults::kMountPoint, error, "{}", where);
    case ENODEV:
      return fail_errno(faults::kNoFuse, error, "{}: the kernel knows no FUSE", where);
    default:
      return fail_errno(faults::kMountRefused, error, "{}", where);
  }
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == ',' || c == '\\') safe += '\\';
    safe += c;
  }
  return safe;
}

Status folder_is_usable(const std::string& folder) {
  struct stat stat{};
  if (::stat(folder.c_str(), &stat) != 0) return fail_errno(faults::kMountPoint, errno, "{}", folder);
  if (!S_ISDIR(stat.st_mode)) return fail(faults::kMountPoint, "{}: is not a folder", folder);
  return {};
}

Result<FuseConnection> mount_as_root(const std::string& folder, const std::string& source, bool read_only) {
  FuseConnection connection;
  connection.device = VDISK_TRY(open_device());
  const std::string options = fmt::format("fd={},rootmode=40000,user_id={},group_id={},default_permissions",
                                          connection.device.get(), ::geteuid(), ::getegid());
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOATIME | (read_only ? MS_RDONLY : 0);
  const std::string type = fmt::format("fuse.{}", kSubtype);
  if (::mount(source.c_str(), folder.c_str(), type.c_str(), flags, options.c_str()) != 0) {
    return refused(errno, folder);
  }
  return connection;
}

/// Runs fusermount3; what it said, without the end of line, is in `said`. False when it is not there.
struct HelperRun {
  bool found = true;
  int status = 0;
  std::string said;
};

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> piece;
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (text.size() < 4096) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// `passed` is inherited as descriptor 3, whose number the helper finds in _FUSE_COMMFD; -1 for none.
HelperRun run_helper(std::vector<std::string> words, int passed) {
  HelperRun run;
  words.insert(words.begin(), kHelper);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "_FUSE_COMMFD=", 13) != 0) environment.push_back(*entry);
  }
  std::string number = "_FUSE_COMMFD=3";
  if (passed >= 0) environment.push_back(number.data());
  environment.push_back(nullptr);

  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return {.found = false, .status = errno, .said = {}};
  UniqueFd from_helper(pipe[0]), to_us(pipe[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to_us.get(), STDERR_FILENO);
  if (passed >= 0) ::posix_spawn_file_actions_adddup2(&actions, passed, 3);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, kHelper, &actions, nullptr, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  to_us.reset();
  if (error != 0) return {.found = false, .status = error, .said = {}};
  run.said = read_all(from_helper.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return run;
}

/// The descriptor that the helper sent, if it did.
UniqueFd receive_descriptor(int socket) noexcept {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0) return UniqueFd();
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
    return UniqueFd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return UniqueFd(fd);
}

Result<FuseConnection> mount_by_helper(const std::string& folder, const std::string& source, bool read_only,
                                       bool shared) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail_errno(faults::kNoFuse, errno, "{}: no socket for {}", folder, kHelper);
  }
  const UniqueFd ours(pair[0]), theirs(pair[1]);
  const std::string options =
      fmt::format("{},nosuid,nodev,noatime,default_permissions,{}subtype={},fsname={}",
                  read_only ? "ro" : "rw", shared ? "allow_other," : "", kSubtype, escaped(source));
  const HelperRun run = run_helper({"-o", options, "--", folder}, theirs.get());
  if (!run.found) {
    return fail_errno(faults::kNoFuse, run.status,
                      "{}: {} is needed where the user is not root (Debian package fuse3)", folder, kHelper);
  }
  FuseConnection connection;
  connection.device = receive_descriptor(ours.get());
  if (run.status == 0 && connection.device) return connection;
  return fail(faults::kMountRefused, "{}: {} says: {}", folder, kHelper,
              run.said.empty() ? "nothing" : run.said);
}

}  // namespace

Result<FuseConnection> connect_hidden(bool read_only) {
  FuseConnection connection;
  connection.device = VDISK_TRY(open_device());
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC)));
  if (!context) return refused(errno, "a FUSE mount without a place");
  const std::array<std::pair<const char*, std::string>, 5> words = {{
      {"source", kSubtype},
      {"fd", std::to_string(connection.device.get())},
      {"rootmode", "40000"},
      {"user_id", std::to_string(::geteuid())},
      {"group_id", std::to_string(::getegid())},
  }};
  const auto configure = [&](unsigned command, const char* key, const char* value) {
    return ::syscall(SYS_fsconfig, context.get(), command, key, value, 0) == 0;
  };
  bool fine = true;
  for (const auto& [key, value] : words) fine = fine && configure(FSCONFIG_SET_STRING, key, value.c_str());
  fine = fine && configure(FSCONFIG_SET_FLAG, "default_permissions", nullptr);
  if (read_only) fine = fine && configure(FSCONFIG_SET_FLAG, "ro", nullptr);
  fine = fine && configure(FSCONFIG_CMD_CREATE, nullptr, nullptr);
  if (!fine) return refused(errno, "a FUSE mount without a place");
  const unsigned attributes =
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (read_only ? MOUNT_ATTR_RDONLY : 0);
  connection.mount =
      UniqueFd(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!connection.mount) return refused(errno, "a FUSE mount without a place");
  return connection;
}

bool users_may_share() {
  std::ifstream file(kSettings);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word, more;
    if (words >> word && word == "user_allow_other" && !(words >> more)) return true;
  }
  return false;
}

Result<FuseConnection> mount_at(const std::string& folder, const std::string& source, bool read_only,
                                bool shared) {
  VDISK_TRY(folder_is_usable(folder));
  return ::geteuid() == 0 ? mount_as_root(folder, source, read_only)
                          : mount_by_helper(folder, source, read_only, shared && users_may_share());
}

Status unmount(const std::string& folder, bool even_if_busy) {
  if (::geteuid() == 0) {
    if (::umount2(folder.c_str(), UMOUNT_NOFOLLOW | (even_if_busy ? MNT_DETACH : 0)) == 0) return {};
    if (errno == EBUSY) return fail_errno(faults::kMountBusy, errno, "{}: unmounting", folder);
    if (errno == EINVAL) return fail(faults::kMountPoint, "{}: nothing is mounted there", folder);
    return refused(errno, folder);
  }
  const HelperRun run = run_helper({even_if_busy ? "-uz" : "-u", "--", folder}, -1);
  if (!run.found) {
    return fail_errno(faults::kNoFuse, run.status,
                      "{}: {} is needed where the user is not root (Debian package fuse3)", folder, kHelper);
  }
  if (run.status == 0) return {};
  const bool busy = run.said.find("busy") != std::string::npos;
  return fail(busy ? faults::kMountBusy : faults::kMountRefused, "{}: {} says: {}", folder, kHelper,
              run.said);
}

Result<unsigned> connection_of(int mounted_file) {
  struct statx stat{};
  // What the kernel knows already: a server that is gone, or not there yet, is not asked.
  if (::statx(mounted_file, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stat) != 0) {
    return fail_errno(faults::kMountPoint, errno, "the mounted folder");
  }
  return stat.stx_dev_minor;
}

Result<unsigned> connection_at(const std::string& folder) {
  std::array<char, PATH_MAX> path{};
  if (::realpath(folder.c_str(), path.data()) == nullptr)
    return fail_errno(faults::kMountPoint, errno, "{}", folder);
  const std::string type = fmt::format("fuse.{}", kSubtype);
  const std::vector<MountEntry> mounts = parse_mountinfo(read_mountinfo());
  // Of several that lie on top of one another, the last one is seen.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->mount_point != path.data()) continue;
    if (mount->type == type) return mount->device_minor;
    break;
  }
  return fail(faults::kMountPoint, "{}: no image is mounted there as files", folder);
}

Status abort_connection(unsigned connection) {
  const std::string path = fmt::format("{}/{}/abort", kControlFolder, connection);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file && errno == ENOENT &&
      ::mount("none", kControlFolder, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) {
    file = UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  }
  if (!file || ::write(file.get(), "1", 1) != 1) return fail_errno(faults::kMountRefused, errno, "{}", path);
  return {};
}

}  // namespace vdisk::serve
