// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "format/create_spec.h"
#include "format/image.h"
#include "format/vhd/layout.h"

namespace vdisk::vhd {

extern const CreateLimits kCreateLimits;

/// Format::create: the layout that Windows writes (formats.md 1.15).
Status create_image(File& file, const CreateSpec& spec, const OperationControl& control);

/// Where in its page of 4 KiB a block's bitmap lies, and so the footer: 512 bytes before the next page.
inline constexpr std::uint64_t kBeforePageEnd = 4096 - kFooterBytes;

/// Where the parts of a new dynamic or differencing image lie.
struct Layout {
  std::uint64_t table_at = 0;
  std::uint64_t block_count = 0;
  std::uint64_t footer_at = 0;  ///< Here the first block's bitmap goes, and the footer moves on.
};

/// Writes such an image but for its two footers.
Result<Layout> write_structures(File& file, const CreateSpec& spec, const OperationControl& control);
Footer new_footer(const CreateSpec& spec);

/// Says who made the file: what new images say.
void set_creator(Footer& footer) noexcept;

}  // namespace vdisk::vhd
