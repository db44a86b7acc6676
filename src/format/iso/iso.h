// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::iso {
extern const Format kFormat;
}
