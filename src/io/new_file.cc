// SPDX-License-Identifier: Apache-2.0
#include "io/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/random.h"
#include "io/faults.h"
#include "io/posix_file.h"

namespace vdisk {

namespace {

constexpr mode_t kMode = 0666;                 // less umask, as any other new file
constexpr std::size_t kMostOfName = 255 - 24;  // NAME_MAX less what temporary_name adds

struct Split {
  std::string folder;  // ends with a slash, or is empty
  std::string name;
};

Split split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

std::string folder_to_open(const std::string& path) {
  std::string folder = split(path).folder;
  return folder.empty() ? "." : folder;
}

std::unexpected<Error> exists(const std::string& path) {
  return fail(io::faults::kExists,
              "{}: exists already and is not overwritten: choose another name, or remove it first", path);
}

/// What a failure to make or name a file in the folder of `path` means. A folder that is missing is "path not
/// found", whatever the system calls it.
std::unexpected<Error> cannot_create(const std::string& path, int error) {
  if (error == EEXIST) return exists(path);
  if (error == ENOENT || error == ENOTDIR) {
    return fail_errno(io::faults::kPathNotFound, error, "{}: the folder {} cannot be used", path,
                      folder_to_open(path));
  }
  return fail_errno(io::faults::fault_for_errno(error), error, "{}: cannot be created", path);
}

/// Hidden, and beside the file's own name so that renaming stays within one file system. Long names are cut.
std::string temporary_name(const std::string& path) {
  const Split parts = split(path);
  return fmt::format("{}.{}.{:016x}.part", parts.folder, parts.name.substr(0, kMostOfName), random_u64());
}

/// Kernels and file systems without O_TMPFILE say so in several ways (open(2)).
bool means_no_tmpfile(int error) noexcept {
  return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOENT;
}

std::string proc_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

}  // namespace

NewFile::NewFile(std::string path, std::string temporary, Method method, std::unique_ptr<File> file)
    : path_(std::move(path)), temporary_(std::move(temporary)), method_(method), file_(std::move(file)) {}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(other.path_),
      temporary_(std::exchange(other.temporary_, {})),
      method_(other.method_),
      file_(std::move(other.file_)) {}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<NewFile> NewFile::create(const std::string& path, Method method) {
  if (split(path).name.empty() || path.find('\0') != std::string::npos) {
    return fail(io::faults::kInvalidName, "'{}' is not the name of a file", path.c_str());
  }
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) == 0) return exists(path);
  if (errno != ENOENT) return cannot_create(path, errno);

  // A file without a name gets one through /proc, which a chroot may lack: then better a name from the
  // beginning.
  if (method == Method::kBest && ::access("/proc/self/fd", X_OK) == 0) {
    UniqueFd fd(::open(folder_to_open(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_NONBLOCK, kMode));
    if (fd) return NewFile(path, "", method, VDISK_TRY(adopt_new_file(std::move(fd), path)));
    if (!means_no_tmpfile(errno)) return cannot_create(path, errno);
  }
  std::string temporary = temporary_name(path);
  UniqueFd fd(
      ::open(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, kMode));
  if (!fd) return cannot_create(path, errno);
  NewFile file(path, std::move(temporary), method, nullptr);  // removes the name if the next step fails
  file.file_ = VDISK_TRY(adopt_new_file(std::move(fd), path));
  return file;
}

Status NewFile::name_it() {
  if (!temporary_.empty()) return rename_it();
  if (::linkat(AT_FDCWD, proc_path(file_->fd()).c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return cannot_create(path_, errno);
  }
  return {};
}

Status NewFile::rename_it() {
  if (method_ != Method::kLink) {
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
      temporary_.clear();
      return {};
    }
    if (errno != EINVAL && errno != ENOSYS) return cannot_create(path_, errno);
  }
  // NFS and some FUSE file systems cannot rename without replacing; a second link never replaces either.
  if (::link(temporary_.c_str(), path_.c_str()) != 0) return cannot_create(path_, errno);
  ::unlink(std::exchange(temporary_, {}).c_str());
  return {};
}

Status NewFile::publish() {
  // fsync, not fdatasync: a new file's mode and owner count, too.
  if (::fsync(file_->fd()) != 0) {
    return fail_errno(io::faults::fault_for_errno(errno), errno, "{}: flushing the new file", path_);
  }
  VDISK_TRY(name_it());
  Status flushed = flush_parent_directory(path_);
  // Without this the caller would be told "failed" and find a file.
  if (!flushed) ::unlink(path_.c_str());
  return flushed;
}

}  // namespace vdisk
