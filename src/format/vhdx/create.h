// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/create_spec.h"
#include "format/image.h"

namespace vdisk::vhdx {

extern const CreateLimits kCreateLimits;

/// Format::create: the layout that Windows writes (formats.md 2.13).
Status create_image(File& file, const CreateSpec& spec, const OperationControl& control);

}  // namespace vdisk::vhdx
