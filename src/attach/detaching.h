// SPDX-License-Identifier: Apache-2.0
//
// Taking a provided device away, by its server.
#pragma once

#include <vdisk/error.h>

#include "attach/provider.h"

namespace vdisk::attach {

/// Sees to it that nobody uses the device, flushes it, removes its partitions and then the device, and closes
/// the image. Fails with attach.busy, which names the users, with nothing changed. With `force` it asks
/// nobody: who uses the device loses it.
/// **Durability:** everything that was written to the device.
Status take_away(ProvidedDevice& device, bool read_only, bool force);

}  // namespace vdisk::attach
