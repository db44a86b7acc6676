// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/control.h>

#include "base/fault.h"
#include "disk/ops/content.h"
#include "disk/ops/create_plan.h"

namespace vdisk::ops {

/// Writes the image, from its first byte to its last, to the descriptor. What is data is decided by maps and
/// holes alone, so that everything behind it has its place before the first byte goes out; the content is
/// read once. Fails with convert.stream_kind for images whose tables lie among the blocks.
Status stream_image(const Content& content, const CreationPlan& plan, int fd,
                    const OperationControl& control);

}  // namespace vdisk::ops
