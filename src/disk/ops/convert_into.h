// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/operations.h>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::ops {

/// `convert` into a file that the caller made, empty and named by its path; flushed at the end. What a
/// failure leaves in it is no image.
Status convert_into(const Disk& source, File& target, const ConvertOptions& options,
                    const OperationControl& control);

}  // namespace vdisk::ops
