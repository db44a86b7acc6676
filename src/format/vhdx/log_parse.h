// SPDX-License-Identifier: Apache-2.0
//
// Reading a VHDX log (MS-VHDX 2.3, formats.md 2.7): which entries are valid, and which of them are the active
// sequence. The rules of both lie here and nowhere else.
//
// Cost. Every sector of the log begins with one of four signatures, so a valid entry holds an entry header in
// its first sector and in no other; valid entries never overlap, and a candidate whose sectors run into the
// next entry header is refused before its checksum is computed. Hence each byte of the log is summed at most
// once, however a hostile log is made, and the entries form disjoint paths (each has at most one successor
// and one predecessor), so that the search walks each path once instead of trying every start.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "format/vhdx/layout.h"
#include "format/vhdx/log.h"

namespace vdisk::vhdx {

/// A valid entry.
struct LogEntry {
  std::uint64_t at = 0;  ///< In the log, as all places here but descriptors' targets.
  std::uint64_t length = 0;
  std::uint64_t tail = 0;
  std::uint64_t sequence = 0;
  std::uint64_t descriptor_count = 0;
  std::uint64_t flushed_file_offset = 0;
  std::uint64_t last_file_offset = 0;
};

using LogPage = std::array<std::byte, kLogSectorBytes>;

/// One change that an entry makes.
struct LogChange {
  bool is_zero = false;
  std::uint64_t file_offset = 0;
  std::uint64_t length = 0;       ///< kLogSectorBytes unless is_zero.
  const LogPage* page = nullptr;  ///< Unless is_zero; lives as long as the call that shows it.
};

struct LogScan {
  std::vector<LogEntry> entries;   ///< All that are valid, by their place.
  std::vector<LogEntry> active;    ///< From the tail that the head names to the head; what is to be replayed.
  std::uint64_t torn_entries = 0;  ///< Entry headers with this log's GUID whose entry is not valid.
  std::string first_torn;          ///< Where and why, of the first.
  std::uint64_t summed_bytes = 0;  ///< Bytes whose checksum was computed.
};

/// The log as a ring of sectors. Logs up to kCachedBytes are read once and kept; of longer ones, one piece at
/// a time.
class LogReader {
 public:
  static constexpr std::uint64_t kCachedBytes = 16 * kMiB;

  LogReader(File& file, const LogRegion& region)
      : file_(file),
        offset_(region.offset),
        length_(round_down(region.length, kLogSectorBytes)),
        guid_(region.guid) {}

  /// Finds the valid entries and the active sequence. Fails with vhdx.log.empty or vhdx.log.incomplete when
  /// there is none (`scan` tells what was found all the same), vhdx.log.too_large, or the file's own error.
  Status scan(const Limits& limits, LogScan& scan);

  /// Shows the changes of a valid entry in the order of its descriptors.
  Status changes(const LogEntry& entry, const std::function<Status(const LogChange&)>& show);

 private:
  using Sector = std::span<const std::byte, kLogSectorBytes>;
  enum class SectorKind : std::uint8_t { kOther, kEntry, kDescriptors, kData };

  static SectorKind kind_of(Sector sector) noexcept;
  std::uint64_t sector_count() const noexcept { return length_ / kLogSectorBytes; }
  std::uint64_t wrap(std::uint64_t at) const noexcept { return at % length_; }

  /// Reads `into.size()` bytes, a multiple of the sector, from `at` around the ring.
  Status read(std::uint64_t at, std::span<std::byte> into);
  /// Classifies every sector and collects the headers of this log's entries.
  Status classify(std::vector<LogEntry>& candidates, LogScan& scan);
  /// "" when the sectors behind the header are of the kinds that it announces.
  std::string shape_problem(const LogEntry& entry) const;
  /// "" when checksum, descriptors and data sectors are right.
  Result<std::string> content_problem(const LogEntry& entry, LogScan& scan);
  static std::string sector_problem(const LogEntry& entry, std::uint64_t number, Sector sector,
                                    std::uint64_t& data_descriptors);

  File& file_;
  const std::uint64_t offset_;
  const std::uint64_t length_;
  const Guid guid_;
  std::vector<std::byte> cache_;
  std::vector<SectorKind> kinds_;
};

}  // namespace vdisk::vhdx
