// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/log_content.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "format/vhdx/log_faults.h"

namespace vdisk::vhdx {

namespace {

/// The longest file that off_t can name, in whole MiB.
constexpr std::uint64_t kMostFileBytes =
    round_down(static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), kAlignment);

/// Headers and identifier are never logged, nor is the log itself (formats.md 2.7). An entry that passed its
/// checksum and asks for it was made so: stopping the sequence there would quietly drop what its writer
/// promised.
Status check_target(File& file, const LogRegion& region, const LogEntry& entry, const LogChange& change) {
  const auto end = checked_add(change.file_offset, change.length);
  const char* problem = nullptr;
  if (!is_multiple(change.file_offset, kLogSectorBytes) || !is_multiple(change.length, kLogSectorBytes)) {
    problem = "is not made of whole 4 KiB pages";
  } else if (change.file_offset < kRegionTableAt[0]) {
    problem = "lies upon the identifier or the headers";
  } else if (!end || *end > kMostFileBytes) {
    problem = "lies behind the end of any file";
  } else if (ranges_overlap(change.file_offset, change.length, region.offset, region.length)) {
    problem = "lies upon the log itself";
  }
  if (problem == nullptr) return {};
  return fail(
      faults::kLogTarget,
      "{}: the log entry with sequence number {} at {:#x} of the log targets {:#x} bytes at {:#x}, which {}",
      file.name(), entry.sequence, entry.at, change.length, change.file_offset, problem);
}

void add_zeros(LogContent& content, std::uint64_t at, std::uint64_t end) {
  if (at == end) return;
  content.pages.erase(content.pages.lower_bound(at), content.pages.lower_bound(end));
  auto& zeros = content.zeros;
  auto next = zeros.upper_bound(at);
  if (next != zeros.begin() && std::prev(next)->second >= at) --next;
  while (next != zeros.end() && next->first <= end) {
    at = std::min(at, next->first);
    end = std::max(end, next->second);
    next = zeros.erase(next);
  }
  zeros.emplace(at, end);
}

void add_change(LogContent& content, const LogChange& change) {
  if (change.is_zero) return add_zeros(content, change.file_offset, change.file_offset + change.length);
  auto& page = content.pages[change.file_offset];
  if (!page) page = std::make_unique<LogPage>();
  *page = *change.page;
}

/// FlushedFileOffset may be 0 and may fall from entry to entry, as Windows wrote it: only the head's counts,
/// and only against the file's size. LastFileOffset: the head's, in whole MiB (formats.md 2.7).
Status set_sizes(File& file, LogContent& content, std::uint64_t targets_end) {
  const LogEntry& head = content.head();
  content.size_before = VDISK_TRY(file.size());
  if (head.flushed_file_offset > content.size_before) {
    return fail(faults::kLogFlushedOffset,
                "{}: the log was written when the file had {:#x} bytes, now it has {:#x}: the end of the "
                "file is lost",
                file.name(), head.flushed_file_offset, content.size_before);
  }
  if (head.last_file_offset > kMostFileBytes) {
    return fail(faults::kLogFileSize, "{}: the log wants a file of {:#x} bytes", file.name(),
                head.last_file_offset);
  }
  content.size_after =
      std::max(content.size_before, round_up(std::max(head.last_file_offset, targets_end), kAlignment));
  return {};
}

}  // namespace

Status read_log(File& file, const LogRegion& region, const Limits& limits, LogContent& content) {
  LogReader reader(file, region);
  VDISK_TRY(reader.scan(limits, content.scan));
  std::uint64_t targets_end = 0;
  for (const LogEntry& entry : content.scan.active) {
    const auto take = [&](const LogChange& change) -> Status {
      if (auto target = check_target(file, region, entry, change); !target) return target;
      targets_end = std::max(targets_end, change.file_offset + change.length);
      add_change(content, change);
      return {};
    };
    VDISK_TRY(reader.changes(entry, take));
  }
  return set_sizes(file, content, targets_end);
}

}  // namespace vdisk::vhdx
