// SPDX-License-Identifier: Apache-2.0
//
// A device of the kernel's NBD client, which a worker process answers. For every image, where the kernel has
// NBD.
#pragma once

#include "attach/provider.h"

namespace vdisk::attach {

extern const Provider kNbdProvider;

}  // namespace vdisk::attach
