// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/disk.h>

#include "format/intent_memory.h"

namespace vdisk {

/// For servers that may be killed and replaced (format/intent_memory.h): takes over what the server before
/// this one had answered and left in `memory`, makes that durable, and notes there what this one answers.
/// REQUIRES: the disk was opened writable and nothing was written yet; `memory` outlives it. Fails with
/// format.intent.memory and format.intent.conflict when what is noted cannot be brought back.
Status keep_intents(const Disk& disk, IntentMemory& memory);

}  // namespace vdisk
