// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "format/bulk_writer.h"
#include "format/create_spec.h"

namespace vdisk::vhd {

/// Format::begin_bulk: the layout of create.h, with blocks.
Result<std::unique_ptr<BulkWriter>> begin_bulk(File& file, const CreateSpec& spec,
                                               const OperationControl& control);

}  // namespace vdisk::vhd
