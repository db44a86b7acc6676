// SPDX-License-Identifier: Apache-2.0
//
// A loop device straight on the image's file: no server between the kernel and the bytes. For whatever lies
// in one run: fixed VHD, ISO, raw, and VHDX whose payload blocks follow one another.
#pragma once

#include "attach/provider.h"

namespace vdisk::attach {

extern const Provider kLoopProvider;

}  // namespace vdisk::attach
