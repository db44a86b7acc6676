// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/errno_of.h"

#include <cerrno>

#include "serve/errno_of.h"

namespace vdisk::serve::nbd {

int errno_of(const Error& error) noexcept {
  switch (const int number = serve::errno_of(error.code())) {
    case EACCES:
    case EBUSY:
    case EROFS:
      return EPERM;
    case ENOMEM:
    case EINVAL:
    case ENOSPC:
    case EOPNOTSUPP:
      return number;
    default:
      return EIO;
  }
}

}  // namespace vdisk::serve::nbd
