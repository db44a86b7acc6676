// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::vhd {

/// Format::check. Memory is bounded (16 MiB and a little) however large the image is.
Status check(File& file, const ImageOpen& options, CheckSink& sink, const OperationControl& control);

}  // namespace vdisk::vhd
