// SPDX-License-Identifier: Apache-2.0
//
// Taking a provided device away, by its server.
#pragma once

#include <vdisk/error.h>

#include "attach/provider.h"

namespace vdisk::attach {

enum class Manner {
  kOrderly,  ///< Nobody may use the device, and what was written is flushed.
  kGiveUp,   ///< Nobody may use the device, which has stopped to work: there is nothing to flush.
  kForce,    ///< Asks nobody: who uses the device loses it.
};

/// Takes the device, its partitions and the image's session away. Fails with attach.busy, which names the
/// users, with nothing changed, unless `manner` is kForce; and with attach.device when a flush fails (nothing
/// changed) or when the device goes only with its last user.
/// **Durability:** kOrderly: everything that was written to the device.
Status take_away(ProvidedDevice& device, bool read_only, Manner manner);

/// After a forced end: waits for the last user of the device at `node` to go, so that its partitions go, too.
void outlast_users(const std::string& node, FileIdentity backing);

}  // namespace vdisk::attach
