// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/disk.h>

#include <string>

#include "format/create_spec.h"

namespace vdisk::ops {

/// The paths by which an image at `child_path` (whose folder exists) records the one at `parent_path`, in
/// Windows' and in Linux' way, symbolic links resolved; the identifier is left to the caller. A Windows
/// absolute path is known where `search.drive_map` says which drive or share the parent's folder is. Fails
/// with create.parent.name for names that no locator can hold.
Result<ParentLink> link_to_parent(const std::string& child_path, const std::string& parent_path,
                                  const ParentSearch& search);

}  // namespace vdisk::ops
