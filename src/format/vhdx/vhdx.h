// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::vhdx {
extern const Format kFormat;
}
