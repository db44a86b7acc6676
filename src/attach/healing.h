// SPDX-License-Identifier: Apache-2.0
//
// What killed servers left, put right by whoever looks.
#pragma once

#include <vdisk/error.h>

#include <vector>

#include "attach/registry.h"

namespace vdisk::attach {

/// All records of live attachments. Of dead ones, removes what is left: partitions of a device that is no
/// longer ours to anyone, and the record. A dead record whose device somebody still uses stays until that
/// ends.
Result<std::vector<FoundRecord>> heal(const RegistryOptions& options);

}  // namespace vdisk::attach
