// SPDX-License-Identifier: Apache-2.0
//
// Everything that opening reads, in the order in which it may be read; shared by open, inspect and check.
#pragma once

#include <memory>
#include <string>

#include "format/image.h"
#include "format/vhdx/bat.h"
#include "format/vhdx/header.h"
#include "format/vhdx/log.h"
#include "format/vhdx/metadata.h"
#include "format/vhdx/region.h"

namespace vdisk::vhdx {

struct Parsed {
  std::string creator;
  Headers headers;
  bool dirty_log = false;
  RegionTable regions;
  Metadata metadata;

  LogRegion log() const noexcept {
    return {headers.current.log_offset, headers.current.log_length, headers.current.log_guid};
  }
  /// REQUIRES: parse_behind_log succeeded.
  BatGeometry geometry() const noexcept;
  DiskType type() const noexcept;
};

/// Identifier and headers: what a log never changes. Fills `parsed` until the first obstacle.
Status parse_before_log(File& file, Parsed& parsed);
/// Region table, metadata, and whether the BAT is long enough. `file` shows the log replayed.
Status parse_behind_log(File& file, Parsed& parsed);

/// The facts beyond ImageProperties' own fields, as far as they are known.
std::vector<std::pair<std::string, std::string>> details_of(const Parsed& parsed);
std::vector<std::string> notes_of(const Parsed& parsed);

}  // namespace vdisk::vhdx
