// SPDX-License-Identifier: Apache-2.0
#include "io/file_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>

#include "io/faults.h"

namespace vdisk {

namespace {

// QEMU's permission bits (include/block/block-common.h, BLK_PERM_*).
enum Permission : unsigned { kConsistentRead = 1, kWrite = 2, kWriteUnchanged = 4, kResize = 8 };
constexpr unsigned kPermissionCount = 4;
constexpr off_t kUsedBase = 100;
constexpr off_t kForbiddenBase = 200;

struct Claim {
  unsigned uses;
  unsigned forbids;
};

// What QEMU's format drivers claim for themselves. A writer does not forbid consistent reads: that byte would
// only turn away readers that asked for a moving image on purpose (qemu-img info --force-share); ordinary
// readers are kept out because they forbid writing. Unlike QEMU's, our writer also forbids "write unchanged".
constexpr Claim kReaderClaim{kConsistentRead, kWrite | kResize};
constexpr Claim kWriterClaim{kConsistentRead | kWrite | kWriteUnchanged | kResize,
                             kWrite | kWriteUnchanged | kResize};

struct flock one_byte(short type, off_t byte) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool means_no_locks(int error) {
  return error == ENOLCK || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS;
}

// 0, or the errno of the first byte that could not be locked.
int take_bytes(int fd, off_t base, unsigned permissions) {
  for (unsigned bit = 0; bit < kPermissionCount; ++bit) {
    if ((permissions & (1U << bit)) == 0) continue;
    struct flock lock = one_byte(F_RDLCK, base + static_cast<off_t>(bit));
    int result;
    do {
      result = ::fcntl(fd, F_OFD_SETLK, &lock);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return errno;
  }
  return 0;
}

struct Conflict {
  unsigned bit;
  pid_t pid;  // -1 when the other side uses an OFD lock too: those belong to no process
};

std::optional<Conflict> find_conflict(int fd, off_t base, unsigned permissions) {
  for (unsigned bit = 0; bit < kPermissionCount; ++bit) {
    if ((permissions & (1U << bit)) == 0) continue;
    struct flock lock = one_byte(F_WRLCK, base + static_cast<off_t>(bit));
    if (::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) return Conflict{bit, lock.l_pid};
  }
  return std::nullopt;
}

void release_all(int fd) {
  struct flock lock = one_byte(F_UNLCK, kUsedBase);
  lock.l_len = kForbiddenBase + kPermissionCount - kUsedBase;
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

std::string who(const char* what, pid_t pid) {
  return pid > 0 ? fmt::format("process {} {}", pid, what) : fmt::format("another program {}", what);
}

}  // namespace

Status lock_image_file(int fd, const std::string& name, LockRole role, const TraceSink& trace) {
  const Claim& claim = role == LockRole::kWriter ? kWriterClaim : kReaderClaim;
  int error = take_bytes(fd, kUsedBase, claim.uses);
  if (error == 0) error = take_bytes(fd, kForbiddenBase, claim.forbids);
  if (error != 0) {
    release_all(fd);
    if (means_no_locks(error)) {
      if (trace) {
        trace(TraceLevel::kWarning,
              fmt::format(
                  "{}: the file system has no locks ({}); nothing keeps another program from changing the "
                  "image at the same time",
                  name, errno_text(error)));
      }
      return {};
    }
    if (error == EAGAIN || error == EACCES) {
      return fail_errno(io::faults::kLocked, error,
                        "{}: another program holds an exclusive lock on the file; close it there", name);
    }
    return fail_errno(io::faults::fault_for_errno(error), error, "{}: the file could not be locked", name);
  }

  // Who writes is the better news; so that is looked for first.
  if (const auto writer = find_conflict(fd, kUsedBase, claim.forbids)) {
    release_all(fd);
    return fail(
        io::faults::kLocked,
        "{}: {}; close it there, or open it without a lock if you only want to look at a changing image",
        name, who("has it open for writing", writer->pid));
  }
  if (const auto holder = find_conflict(fd, kForbiddenBase, claim.uses)) {
    release_all(fd);
    return fail(
        io::faults::kLocked, "{}: {}; close it there{}", name,
        who(holder->bit == 0 ? "is rebuilding it" : "reads it and relies on its not changing", holder->pid),
        role == LockRole::kWriter ? ", or open it read-only" : "");
  }
  return {};
}

}  // namespace vdisk
