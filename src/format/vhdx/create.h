// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/create_spec.h"
#include "format/image.h"

namespace vdisk::vhdx {

extern const CreateLimits kCreateLimits;

/// Format::create: the layout that Windows writes (formats.md 2.13).
Status create_image(File& file, const CreateSpec& spec, const OperationControl& control);

/// Writes a new image without blocks (but for a fixed disk's, which it places); with Windows' marker of an
/// incomplete file if `incomplete` (formats.md 2.10).
Status write_structures(File& file, const CreateSpec& spec, bool incomplete, const OperationControl& control);
/// Where its BAT and its blocks begin.
std::uint64_t bat_begins_at() noexcept;
std::uint64_t blocks_begin_at(const CreateSpec& spec) noexcept;

}  // namespace vdisk::vhdx
