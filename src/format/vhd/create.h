// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/create_spec.h"
#include "format/image.h"
#include "format/vhd/layout.h"

namespace vdisk::vhd {

extern const CreateLimits kCreateLimits;

/// Format::create: the layout that Windows writes (formats.md 1.15).
Status create_image(File& file, const CreateSpec& spec, const OperationControl& control);

/// Says who made the file: what new images say.
void set_creator(Footer& footer) noexcept;

}  // namespace vdisk::vhd
