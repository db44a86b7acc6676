// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/image.h"

namespace vdisk::vhd {

/// Format::inspect: tells what is known up to the first obstacle, values of a damaged footer included.
Status inspect(File& file, const ImageOpen& options, ImageInfo& info);

}  // namespace vdisk::vhd
