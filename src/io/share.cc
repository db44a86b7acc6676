// SPDX-License-Identifier: Apache-2.0
#include "io/share.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace vdisk {

bool share_range(File& from, FileOffset from_at, File& to, FileOffset to_at, std::uint64_t length) noexcept {
  if (from.fd() < 0 || to.fd() < 0) return false;
  const file_clone_range range{
      .src_fd = from.fd(), .src_offset = from_at.bytes, .src_length = length, .dest_offset = to_at.bytes};
  int result;
  do {
    result = ::ioctl(to.fd(), FICLONERANGE, &range);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

Result<bool> can_share(File& from, File& empty) {
  if (from.fd() < 0 || empty.fd() < 0 || VDISK_TRY(from.size()) < kShareUnitBytes) return false;
  if (!share_range(from, FileOffset{0}, empty, FileOffset{0}, kShareUnitBytes)) return false;
  VDISK_TRY(empty.resize(0));
  return true;
}

}  // namespace vdisk
