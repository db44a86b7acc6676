// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/error.h>

namespace vdisk::serve::nbd {

/// The errno that tells an NBD client of `error`. The protocol knows EPERM, EIO, ENOMEM, EINVAL, ENOSPC,
/// EOVERFLOW, ENOTSUP and ESHUTDOWN; any other would reach the client as EINVAL, which blames its request.
int errno_of(const Error& error) noexcept;

}  // namespace vdisk::serve::nbd
