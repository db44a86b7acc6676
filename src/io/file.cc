// SPDX-License-Identifier: Apache-2.0
#include "io/file.h"

#include <algorithm>
#include <cerrno>

#include "base/fault.h"
#include "io/faults.h"

namespace vdisk {

Status read_exactly(File& file, FileOffset at, std::span<std::byte> into) {
  const std::size_t got = VDISK_TRY(file.read(at, into));
  if (got != into.size()) {
    return fail(io::faults::kShortRead, "{}: {} bytes at {:#x} are needed, the file ends after {} of them",
                file.name(), into.size(), at.bytes, got);
  }
  return {};
}

Result<std::size_t> read_zero_padded(File& file, FileOffset at, std::span<std::byte> into) {
  const std::size_t got = VDISK_TRY(file.read(at, into));
  std::ranges::fill(into.subspan(got), std::byte{0});
  return got;
}

namespace io::faults {

const Fault& fault_for_errno(int os_errno) noexcept {
  switch (os_errno) {
    case ENOENT: return kNotFound;
    case ENOTDIR: return kPathNotFound;
    case EMFILE:
    case ENFILE: return kTooManyOpenFiles;
    case EACCES:
    case EPERM: return kAccessDenied;
    case EISDIR:
    case ENXIO: return kNotRegular;
    case ELOOP:
    case EINVAL:
    case ENAMETOOLONG: return kInvalidName;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY: return kLocked;
    case EEXIST: return kExists;
    case ENOSPC:
    case EDQUOT: return kDiskFull;
    case EFBIG: return kTooLarge;
    case EROFS: return kReadOnly;
    default: return kDevice;
  }
}

}  // namespace io::faults

}  // namespace vdisk
