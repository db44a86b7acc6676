// SPDX-License-Identifier: Apache-2.0
//
// The errno by which a program that knows nothing of images learns of a failure.
#pragma once

#include <vdisk/error.h>

namespace vdisk::serve {

/// A positive errno; EIO for every code that has no closer one.
int errno_of(Win32Code code) noexcept;

}  // namespace vdisk::serve
