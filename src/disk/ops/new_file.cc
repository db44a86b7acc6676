// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/random.h"
#include "io/faults.h"
#include "io/posix_file.h"

namespace vdisk::ops {

namespace {

constexpr mode_t kMode = 0666;  // less umask, as any other new file

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string proc_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

/// Only what filling a new file needs; it is nobody else's yet, so it takes no lock.
class OutputFile final : public File {
 public:
  OutputFile(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t count =
          ::pread(fd_.get(), into.data() + done, into.size() - done, static_cast<off_t>(at.bytes + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return failed("reading");
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }
  Status write(FileOffset at, std::span<const std::byte> from) override {
    std::size_t done = 0;
    while (done < from.size()) {
      const ssize_t count =
          ::pwrite(fd_.get(), from.data() + done, from.size() - done, static_cast<off_t>(at.bytes + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return failed("writing");
      done += static_cast<std::size_t>(count);
    }
    return {};
  }
  Status flush() override {
    if (::fsync(fd_.get()) != 0) return failed("flushing");
    return {};
  }
  Result<std::uint64_t> size() override {
    struct stat facts{};
    if (::fstat(fd_.get(), &facts) != 0) return failed("looking at");
    return static_cast<std::uint64_t>(facts.st_size);
  }
  Status resize(std::uint64_t size_bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) return failed("sizing");
    return {};
  }
  Status zero(FileOffset at, std::uint64_t length) override {
    return change(FALLOC_FL_ZERO_RANGE, at, length);
  }
  Status punch(FileOffset at, std::uint64_t length) override {
    return change(FALLOC_FL_PUNCH_HOLE, at, length);
  }
  Result<FileOffset> next_data(FileOffset from) override { return seek(from, SEEK_DATA); }
  Result<FileOffset> next_hole(FileOffset from) override { return seek(from, SEEK_HOLE); }
  int fd() const noexcept override { return fd_.get(); }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override {
    struct stat facts{};
    if (::fstat(fd_.get(), &facts) != 0) return failed("looking at");
    return FileIdentity{facts.st_dev, facts.st_ino};
  }
  const std::string& name() const noexcept override { return name_; }

 private:
  std::unexpected<Error> failed(std::string_view doing) const {
    const int code = errno;
    return fail_errno(io::faults::fault_for_errno(code), code, "{} {}", doing, name_);
  }
  Status change(int mode, FileOffset at, std::uint64_t length) {
    const auto result = ::fallocate(fd_.get(), mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at.bytes),
                                    static_cast<off_t>(length));
    if (result != 0) return failed("clearing a range of");
    return {};
  }
  Result<FileOffset> seek(FileOffset from, int whence) {
    const off_t found = ::lseek(fd_.get(), static_cast<off_t>(from.bytes), whence);
    if (found >= 0) return FileOffset{static_cast<std::uint64_t>(found)};
    if (errno != ENXIO) return failed("seeking in");
    return FileOffset{VDISK_TRY(size())};
  }

  UniqueFd fd_;
  std::string name_;
};

std::unexpected<Error> cannot_create(const std::string& path, int code) {
  if (code == EEXIST) {
    return fail(io::faults::kExists, "{} exists already: choose another name, or remove it first", path);
  }
  // A folder that is missing is "path not found", whatever open() calls it.
  const Fault& row =
      code == ENOENT || code == ENOTDIR ? io::faults::kPathNotFound : io::faults::fault_for_errno(code);
  return fail_errno(row, code, "creating {}", path);
}

/// A hidden name beside the target, so that renaming stays within one file system.
std::string temporary_name(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  // Long names are cut so that the suffix fits into NAME_MAX.
  const std::string name = path.substr(folder.size()).substr(0, 200);
  return fmt::format("{}.{}.{:016x}.part", folder, name, random_u64());
}

}  // namespace

Result<NewFile> NewFile::create(const std::string& path, Method method) {
  if (path.empty() || path.back() == '/') {
    return fail(io::faults::kInvalidName, "'{}' is not the name of a file", path);
  }
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) == 0) return cannot_create(path, EEXIST);
  if (errno != ENOENT) return cannot_create(path, errno);

  // Naming the file later goes through /proc, which a chroot may lack: then better a name now.
  if (method == Method::kBest && ::access("/proc/self/fd", X_OK) == 0) {
    UniqueFd fd(::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kMode));
    if (fd) return NewFile(path, "", std::make_unique<OutputFile>(std::move(fd), path));
    // Kernels and file systems without O_TMPFILE say so in several ways.
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
      return cannot_create(path, errno);
  }
  std::string temporary = temporary_name(path);
  UniqueFd fd(::open(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, kMode));
  if (!fd) return cannot_create(path, errno);
  return NewFile(path, std::move(temporary), std::make_unique<OutputFile>(std::move(fd), path));
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status NewFile::name_it() {
  if (temporary_.empty()) {
    const std::string source = proc_path(file_->fd());
    if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return cannot_create(path_, errno);
    }
    return {};
  }
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
    temporary_.clear();
    return {};
  }
  if (errno != EINVAL && errno != ENOSYS) return cannot_create(path_, errno);
  // NFS and some FUSE file systems cannot rename without replacing; a second link never replaces either.
  if (::link(temporary_.c_str(), path_.c_str()) != 0) return cannot_create(path_, errno);
  ::unlink(std::exchange(temporary_, {}).c_str());
  return {};
}

Status NewFile::publish() {
  VDISK_TRY(name_it());
  Status flushed = flush_parent_directory(path_);
  // Without this the caller would be told "failed" and find a file.
  if (!flushed) ::unlink(path_.c_str());
  return flushed;
}

}  // namespace vdisk::ops
