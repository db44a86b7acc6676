// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::vhdset {
extern const Format kFormat;
}
