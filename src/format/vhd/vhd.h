// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::vhd {
extern const Format kFormat;
}
