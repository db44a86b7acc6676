// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/control.h>
#include <vdisk/operations.h>

#include <cstdint>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk {

/// Fails with base.cancelled when the caller wants to stop making `file`.
Status stop_if_cancelled(const File& file, const OperationControl& control);

/// Takes the space of [at, at + length), all inside the file and never written, from the host or gives it
/// back, as `how` says. Reports progress and can be cancelled between gibibytes.
Status preallocate(File& file, FileOffset at, std::uint64_t length, Preallocation how,
                   const OperationControl& control);

}  // namespace vdisk
