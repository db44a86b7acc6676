// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/fault.h"

namespace vdisk {

/// Every fault row of the engine, from base up to disk, in that order: for docs/errors.md and for the test
/// that each row is provoked. The layers above add their own.
std::vector<const Fault*> all_faults();

}  // namespace vdisk
