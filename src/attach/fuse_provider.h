// SPDX-License-Identifier: Apache-2.0
//
// A loop device on a file that a worker process shows through FUSE, in a mount that no path leads to. For
// every image.
#pragma once

#include "attach/provider.h"

namespace vdisk::attach {

extern const Provider kFuseProvider;

}  // namespace vdisk::attach
