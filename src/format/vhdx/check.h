// SPDX-License-Identifier: Apache-2.0
//
// Looking at a VHDX file without opening it: as much as damage allows (inspect), and everything (check).
#pragma once

#include "format/image.h"

namespace vdisk::vhdx {

Status inspect_file(File& file, const ImageOpen& options, ImageInfo& info);
Status check_file(File& file, const ImageOpen& options, CheckSink& sink, const OperationControl& control);

}  // namespace vdisk::vhdx
