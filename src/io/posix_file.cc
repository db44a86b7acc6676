// SPDX-License-Identifier: Apache-2.0
#include "io/posix_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <limits>

#include "base/checked.h"
#include "io/direct_file.h"
#include "io/faults.h"
#include "io/file_lock.h"

namespace vdisk {

namespace {

// Linux moves at most 0x7ffff000 bytes per call; whole gigabytes keep the pieces aligned.
constexpr std::size_t kMostBytesPerCall = kGiB;
constexpr std::uint64_t kMostOffset = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kZeroPieceBytes = 64 * kKiB;
constexpr std::size_t kPageBytes = 4096;
constexpr int kLeastSectorBytes = 512;

off_t as_off_t(std::uint64_t value) noexcept { return static_cast<off_t>(value); }

// File systems and block devices that cannot do a fallocate mode, or not at this alignment; writing zeros
// can.
bool means_no_fallocate(int error) noexcept {
  return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV;
}

class PosixFile final : public File {
 public:
  PosixFile(UniqueFd fd, std::string name, bool writable, const struct stat& stat)
      : fd_(std::move(fd)),
        name_(std::move(name)),
        writable_(writable),
        block_device_(S_ISBLK(stat.st_mode)) {
    // Two nodes of one device are one file; the top bit keeps device numbers apart from those of file
    // systems.
    identity_ = block_device_ ? FileIdentity{.device = stat.st_rdev | (std::uint64_t{1} << 63), .inode = 0}
                              : FileIdentity{.device = stat.st_dev, .inode = stat.st_ino};
  }

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      if (at.bytes > kMostOffset - done) break;  // no file reaches there
      const ssize_t got = ::pread(fd_.get(), into.data() + done,
                                  std::min(into.size() - done, kMostBytesPerCall), as_off_t(at.bytes + done));
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        return failed(errno, "reading {} bytes at {:#x}", into.size() - done, at.bytes + done);
      }
      done += static_cast<std::size_t>(got);
      // Past the page cache only the end of the file ends a read within a sector; there is no offset to go on
      // from.
      if (got % kLeastSectorBytes != 0 && (::fcntl(fd_.get(), F_GETFL) & O_DIRECT) != 0) break;
    }
    return done;
  }

  Status write(FileOffset at, std::span<const std::byte> from) override {
    VDISK_TRY(may_write());
    const auto end = checked_add<std::uint64_t>(at.bytes, from.size());
    if (!end || *end > kMostOffset) {
      return fail(io::faults::kTooLarge, "{}: no file reaches {} bytes past {:#x}", name_, from.size(),
                  at.bytes);
    }
    for (std::size_t done = 0; done < from.size();) {
      const ssize_t put =
          ::pwrite(fd_.get(), from.data() + done, std::min(from.size() - done, kMostBytesPerCall),
                   as_off_t(at.bytes + done));
      if (put < 0) {
        if (errno == EINTR) continue;
        return failed(errno, "writing {} bytes at {:#x}", from.size() - done, at.bytes + done);
      }
      // A regular file or block device never answers 0 for a positive count; were it to, this would never
      // end.
      if (put == 0)
        return failed(EIO, "writing {} bytes at {:#x} moved nothing", from.size() - done, at.bytes + done);
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  Status flush() override {
    if (!writable_) return {};
    int result;
    do {
      result = ::fdatasync(fd_.get());
    } while (result != 0 && errno == EINTR);
    if (result != 0) return failed(errno, "flushing to stable storage");
    return {};
  }

  Result<std::uint64_t> size() override {
    if (block_device_) {
      std::uint64_t bytes = 0;
      if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0)
        return failed(errno, "asking the device for its size");
      return bytes;
    }
    struct stat stat{};
    if (::fstat(fd_.get(), &stat) != 0) return failed(errno, "asking for the size");
    return static_cast<std::uint64_t>(stat.st_size);
  }

  Status resize(std::uint64_t size_bytes) override {
    VDISK_TRY(may_write());
    if (size_bytes > kMostOffset)
      return fail(io::faults::kTooLarge, "{}: no file can have {} bytes", name_, size_bytes);
    int result;
    do {
      result = ::ftruncate(fd_.get(), as_off_t(size_bytes));
    } while (result != 0 && errno == EINTR);
    if (result != 0) return failed(errno, "making the file {} bytes long", size_bytes);
    return {};
  }

  Status zero(FileOffset at, std::uint64_t length) override {
    return clear(at, length, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zeroing");
  }
  Status punch(FileOffset at, std::uint64_t length) override {
    return clear(at, length, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "freeing");
  }

  Result<FileOffset> next_data(FileOffset from) override { return seek(from, SEEK_DATA); }
  Result<FileOffset> next_hole(FileOffset from) override { return seek(from, SEEK_HOLE); }

  int fd() const noexcept override { return fd_.get(); }
  bool writable() const noexcept override { return writable_; }
  Result<FileIdentity> identity() override { return identity_; }
  const std::string& name() const noexcept override { return name_; }

 private:
  template <class... Args>
  std::unexpected<Error> failed(int error, fmt::format_string<Args...> format, Args&&... args) const {
    return fail_errno(io::faults::fault_for_errno(error), error, "{}: {}", name_,
                      fmt::format(format, std::forward<Args>(args)...));
  }

  Status may_write() const {
    if (!writable_)
      return fail(io::faults::kReadOnly, "{}: was opened read-only and cannot be changed", name_);
    return {};
  }

  Status clear(FileOffset at, std::uint64_t length, int mode, const char* verb) {
    VDISK_TRY(may_write());
    const std::uint64_t end_of_file = VDISK_TRY(size());
    if (at.bytes >= end_of_file) return {};
    length = std::min(length, end_of_file - at.bytes);
    if (length == 0) return {};
    if (fallocate(mode, at, length)) return {};
    // Of a device that cannot give space back the kernel still clears whole ranges at once.
    if (block_device_ && means_no_fallocate(errno) &&
        fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, length)) {
      return {};
    }
    if (!means_no_fallocate(errno)) return failed(errno, "{} {} bytes at {:#x}", verb, length, at.bytes);
    // On pages, for files that bypass the page cache.
    alignas(kPageBytes) static constexpr std::array<std::byte, kZeroPieceBytes> zeros{};
    for (std::uint64_t done = 0; done < length;) {
      const std::uint64_t piece = std::min<std::uint64_t>(length - done, zeros.size());
      VDISK_TRY(write(FileOffset{at.bytes + done}, std::span(zeros).first(piece)));
      done += piece;
    }
    return {};
  }

  /// False with errno.
  bool fallocate(int mode, FileOffset at, std::uint64_t length) const noexcept {
    int result;
    do {
      result = ::fallocate(fd_.get(), mode, as_off_t(at.bytes), as_off_t(length));
    } while (result != 0 && errno == EINTR);
    return result == 0;
  }

  // The descriptor's own cursor moves here; nothing else uses it.
  Result<FileOffset> seek(FileOffset from, int whence) {
    const std::uint64_t end_of_file = VDISK_TRY(size());
    if (from.bytes >= end_of_file) return FileOffset{end_of_file};
    const off_t found = ::lseek(fd_.get(), as_off_t(from.bytes), whence);
    if (found >= 0) return FileOffset{std::min(static_cast<std::uint64_t>(found), end_of_file)};
    if (errno == ENXIO) return FileOffset{end_of_file};
    if (errno == EINVAL || errno == EOPNOTSUPP) return whence == SEEK_DATA ? from : FileOffset{end_of_file};
    return failed(errno, "looking for {} from {:#x} on", whence == SEEK_DATA ? "data" : "a hole", from.bytes);
  }

  const UniqueFd fd_;
  const std::string name_;
  const bool writable_;
  const bool block_device_;
  FileIdentity identity_;
};

/// Makes the descriptor bypass the page cache; the unit in which it moves bytes then, or 0 where that is not
/// possible.
std::uint32_t bypass_page_cache(int fd) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return 0;
  struct statx stat{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stat) == 0 && (stat.stx_mask & STATX_DIOALIGN) != 0) {
    const std::uint32_t unit = std::max(stat.stx_dio_offset_align, stat.stx_dio_mem_align);
    if (std::has_single_bit(unit) && unit <= kPageBytes)
      return std::max<std::uint32_t>(unit, kLeastSectorBytes);
    ::fcntl(fd, F_SETFL, flags);
    return 0;
  }
  int sector = 0;
  if (::ioctl(fd, BLKSSZGET, &sector) == 0 && sector >= kLeastSectorBytes)
    return static_cast<std::uint32_t>(sector);
  return kPageBytes;
}

// Some seccomp filters answer EPERM to calls that they do not know; the call itself answers EINVAL to a size
// of 0.
bool kernel_has_openat2() noexcept {
  const int saved = errno;
  const bool has = ::syscall(SYS_openat2, AT_FDCWD, ".", nullptr, 0) == 0 || errno == EINVAL;
  errno = saved;
  return has;
}

// open(2) that refuses magic links (/proc/PID/fd/N, which can lead out of any sandbox). Kernels before 5.6
// and seccomp filters that do not know openat2 get plain open: the check of what was opened still follows.
int open_no_magic(const char* path, int flags, mode_t mode) noexcept {
  struct open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == ENOSYS || (errno == EPERM && !kernel_has_openat2())) break;
    if (errno != EINTR) return -1;
  }
  for (;;) {
    const int fd = ::open(path, flags, mode);
    if (fd >= 0 || errno != EINTR) return fd;
  }
}

std::string folder_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::unexpected<Error> open_failed(const std::string& path, int error, bool writable) {
  using namespace io::faults;
  switch (error) {
    case ENOENT: {
      // Windows tells a missing file (2) from a missing folder (3); Linux does not.
      struct stat folder{};
      if (::stat(folder_of(path).c_str(), &folder) != 0) {
        return fail_errno(kPathNotFound, error, "{}: the folder {} does not exist", path, folder_of(path));
      }
      return fail_errno(kNotFound, error, "{}", path);
    }
    case ENOTDIR:
      return fail_errno(kPathNotFound, error, "{}: something on the way is not a folder", path);
    case ELOOP:
      return fail_errno(kInvalidName, error,
                        "{}: symbolic links that run in a circle, or a /proc link to an open file", path);
    case EACCES:
    case EPERM:
      return fail_errno(kAccessDenied, error, "{}: may not be opened for {} by this user", path,
                        writable ? "writing" : "reading");
    case EROFS:
      return fail_errno(kReadOnly, error, "{}: cannot be opened for writing; open it read-only", path);
    case EWOULDBLOCK:
      return fail_errno(kLocked, error, "{}: another program holds a lease on the file", path);
    case EBUSY:
      return fail_errno(kLocked, error, "{}: is mounted, or another program has it for itself; release it first",
                        path);
    default:
      return fail_errno(fault_for_errno(error), error, "{}: cannot be opened", path);
  }
}

std::unexpected<Error> not_regular(const std::string& path, mode_t mode) {
  const char* what = S_ISDIR(mode)    ? "a folder"
                     : S_ISFIFO(mode) ? "a FIFO"
                     : S_ISSOCK(mode) ? "a socket"
                     : S_ISCHR(mode)  ? "a character device"
                     : S_ISBLK(mode)  ? "a block device"
                                      : "no regular file";
  return fail(io::faults::kNotRegular, "{}: is {}, not an image file", path, what);
}

bool acceptable(mode_t mode, bool allow_block_device) noexcept {
  return S_ISREG(mode) || (allow_block_device && S_ISBLK(mode));
}

Status valid_name(const std::string& path) {
  if (path.empty()) return fail(io::faults::kInvalidName, "the path is empty");
  if (path.find('\0') != std::string::npos) {
    return fail(io::faults::kInvalidName, "the path holds a zero character after \"{}\"", path.c_str());
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<File>> open_posix_file(const std::string& path, const PosixOpen& options) {
  VDISK_TRY(valid_name(path));
  struct stat stat{};
  // Looked at before it is opened too: opening a device can have effects (a watchdog starts, a tape rewinds).
  if (::stat(path.c_str(), &stat) != 0) return open_failed(path, errno, options.writable);
  if (!acceptable(stat.st_mode, options.allow_block_device)) return not_regular(path, stat.st_mode);

  int flags = (options.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  // Keeps what is mounted, or part of something that is, from being written to, and from being mounted meanwhile.
  if (options.writable && S_ISBLK(stat.st_mode)) flags |= O_EXCL;
  // A read-only open leaves no trace, where the kernel lets us (owner or CAP_FOWNER; else EPERM).
  UniqueFd fd(options.writable ? -1 : open_no_magic(path.c_str(), flags | O_NOATIME, 0));
  if (!fd && (options.writable || errno == EPERM)) fd = UniqueFd(open_no_magic(path.c_str(), flags, 0));
  if (!fd) return open_failed(path, errno, options.writable);
  if (::fstat(fd.get(), &stat) != 0) return open_failed(path, errno, options.writable);
  if (!acceptable(stat.st_mode, options.allow_block_device)) return not_regular(path, stat.st_mode);
  if (options.lock) {
    VDISK_TRY(lock_image_file(fd.get(), path, options.writable ? LockRole::kWriter : LockRole::kReader,
                              options.trace));
  }
  const int opened = fd.get();
  auto file = std::make_unique<PosixFile>(std::move(fd), path, options.writable, stat);
  if (!options.direct) return file;
  const std::uint32_t unit = bypass_page_cache(opened);
  if (unit != 0) return std::make_unique<DirectFile>(std::move(file), unit);
  if (options.trace) {
    options.trace(TraceLevel::kWarning,
                  fmt::format("{}: its file system cannot bypass the page cache", path));
  }
  return file;
}

Result<std::unique_ptr<File>> create_posix_file(const std::string& path) {
  VDISK_TRY(valid_name(path));
  UniqueFd fd(
      open_no_magic(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
  if (!fd) {
    const int error = errno;
    if (error == EEXIST) return fail_errno(io::faults::kExists, error, "{}: not overwritten", path);
    return open_failed(path, error, true);
  }
  return adopt_new_file(std::move(fd), path);
}

Result<std::unique_ptr<File>> adopt_new_file(UniqueFd fd, const std::string& name) {
  struct stat stat{};
  if (::fstat(fd.get(), &stat) != 0) return open_failed(name, errno, true);
  VDISK_TRY(lock_image_file(fd.get(), name, LockRole::kWriter, {}));
  return std::make_unique<PosixFile>(std::move(fd), name, true, stat);
}

Status flush_parent_directory(const std::string& path) {
  VDISK_TRY(valid_name(path));
  const std::string folder = folder_of(path);
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT)
      return fail_errno(io::faults::kPathNotFound, errno, "{}: the folder does not exist", folder);
    return open_failed(folder, errno, false);
  }
  // EINVAL: a file system whose folders cannot be flushed; there is nothing more that could be done.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) {
    return fail_errno(io::faults::fault_for_errno(errno), errno, "{}: flushing the folder", folder);
  }
  return {};
}

}  // namespace vdisk
