// SPDX-License-Identifier: Apache-2.0
//
// The region table in its two copies (MS-VHDX 2.2.3, formats.md 2.4), and the map of everything in the file
// that is not a block.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.h"
#include "format/vhdx/header.h"
#include "io/file.h"

namespace vdisk::vhdx {

struct Region {
  Guid guid;
  std::uint64_t file_offset = 0;
  std::uint32_t length = 0;
  std::uint32_t flags = 0;
  std::uint64_t end() const noexcept { return file_offset + length; }
  bool operator==(const Region&) const = default;
};

/// One copy of the table, as found; the entries are not judged yet.
struct RegionTableCopy {
  std::optional<std::vector<Region>> regions;  ///< Unset when signature, checksum or count are wrong.
  std::string problem;                         ///< Why they are unset.
};
Result<RegionTableCopy> read_region_table_copy(File& file, int copy);

struct RegionTable {
  std::vector<Region> regions;
  int copy_used = 0;          ///< 0 is region table 1.
  std::string first_problem;  ///< Why copy 1 was not used.
  std::optional<Region> bat;
  std::optional<Region> metadata;
};

/// Reads the first valid copy, and the second only if it must; then judges the entries. Fails with the
/// `vhdx.region.*` rows; `table` is filled as far as damage allows.
Status read_region_table_into(File& file, const Header& header, RegionTable& table);
/// The judgement alone.
Status judge_regions(File& file, const Header& header, RegionTable& table);

/// The file's length rounded up to whole MiB: a file may end in a part of one (formats.md 2.1).
std::uint64_t rounded_file_bytes(std::uint64_t file_bytes) noexcept;

/// What no block may touch: the header section, the log and every region, known or not; sorted.
class OccupiedSpace {
 public:
  struct Range {
    std::uint64_t at;
    std::uint64_t length;
    std::string_view what;
  };
  OccupiedSpace(const Header& header, const std::vector<Region>& regions);
  /// The range that shares a byte with [at, at + length); null if none. REQUIRES: no overflow.
  const Range* find(std::uint64_t at, std::uint64_t length) const noexcept;
  const std::vector<Range>& ranges() const noexcept { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

}  // namespace vdisk::vhdx
