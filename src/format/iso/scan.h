// SPDX-License-Identifier: Apache-2.0
//
// One bounded look at everything on a disc that says what it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::iso {

/// What a volume of the ISO 9660 family (ISO 9660, Joliet, High Sierra) says about itself.
struct IsoVolume {
  std::uint64_t at = 0;  ///< File offset of its descriptor.
  std::string volume_id;
  std::string application_id;  ///< Primary of ISO 9660 only.
  std::uint64_t space_bytes = 0;
  bool both_endian_agree = true;  ///< Of the volume space size.
};

struct UdfAnchorFound {
  std::uint64_t block = 0;
  bool crc_good = false;
};

struct UdfVolume {
  std::uint16_t nsr = 0;           ///< 2 (UDF up to 1.50) or 3.
  std::uint32_t stride_bytes = 0;  ///< Distance of the recognition sequence's descriptors.
  std::uint32_t block_bytes = 0;   ///< 0 when no anchor tells.
  std::vector<UdfAnchorFound> anchors;
  std::optional<std::uint16_t> revision;  ///< BCD, from the logical volume's domain.
  std::string volume_id;
  bool has_logical_volume = false;
  std::uint64_t end_bytes = 0;  ///< End of the last partition; 0 if none was found.
};

struct Discovery {
  std::optional<IsoVolume> primary;
  std::optional<IsoVolume> joliet;
  std::optional<IsoVolume> high_sierra;
  std::optional<UdfVolume> udf;
  bool el_torito = false;
  bool terminator = false;
  /// A signature was seen (CD001, CDROM or NSR), whether or not a valid volume stands behind it.
  bool signature = false;
  /// Bytes per sector when the file looks like a dump of raw CD sectors; else 0.
  std::uint32_t raw_sector_bytes = 0;

  bool has_volume() const noexcept { return primary || high_sierra || udf; }
  bool iso_family() const noexcept { return primary || high_sierra; }
  /// Where the furthest volume ends; 0 if none says.
  std::uint64_t volume_end_bytes() const noexcept;
};

/// Looks for volumes. Reads at most a few hundred descriptors; fails on I/O errors only.
Result<Discovery> discover(File& file, std::uint64_t file_bytes);

/// The signature test alone: one read for a file that is no disc.
Result<bool> has_signature(File& file);

}  // namespace vdisk::iso
