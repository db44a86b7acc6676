// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/disk.h>
#include <vdisk/operations.h>

#include <optional>
#include <string>

#include "base/fault.h"
#include "format/create_spec.h"
#include "format/image.h"

namespace vdisk::ops {

/// A new image, decided but not made.
struct CreationPlan {
  std::string path;                ///< Here.
  const Format* format = nullptr;  ///< One that can be created.
  CreateSpec spec;
  std::optional<Disk> parent;  ///< Open and unlocked, for a differencing image.
};

/// Applies every rule of `create`. A stream has no name of its own: nothing can be there already.
Result<CreationPlan> plan_creation(const std::string& path, const CreateOptions& options, bool stream);

}  // namespace vdisk::ops
