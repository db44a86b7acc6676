// SPDX-License-Identifier: Apache-2.0
//
// What a file will be once its log is replayed: the one answer that the overlay shows, that replay writes and
// that check reports.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "format/vhdx/log_parse.h"

namespace vdisk::vhdx {

struct LogContent {
  LogScan scan;
  /// By place in the file; of changes to one place the last wins.
  std::map<std::uint64_t, std::unique_ptr<LogPage>> pages;
  /// [first, second) read as zeros where no page lies; disjoint, not touching.
  std::map<std::uint64_t, std::uint64_t> zeros;
  std::uint64_t size_before = 0;
  std::uint64_t size_after = 0;

  const LogEntry& head() const noexcept { return scan.active.back(); }
};

/// Reads the log and follows its active sequence. Refuses (vhdx.log.*) what may not be replayed; `content`
/// then holds what was found before.
Status read_log(File& file, const LogRegion& region, const Limits& limits, LogContent& content);

}  // namespace vdisk::vhdx
