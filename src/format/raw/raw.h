// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::raw {
extern const Format kFormat;
}
