// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "format/vhdx/log_content.h"
#include "format/vhdx/log_faults.h"

namespace vdisk::vhdx {

namespace {

bool is_log_fault(const Error& error) noexcept {
  return std::ranges::any_of(faults::kLog, [&](const Fault* row) { return row->id == error.id(); });
}

void report_content(const LogContent& content, CheckSink& sink) {
  const LogScan& scan = content.scan;
  std::uint64_t zeroed = 0;
  for (const auto& [at, end] : content.zeros) zeroed += end - at;
  std::string growth;
  if (content.size_after > content.size_before) {
    growth = fmt::format(", and the file grows from {:#x} to {:#x} bytes", content.size_before,
                         content.size_after);
  }
  sink.add(Finding::Severity::kNote, faults::kLogPending,
           "the log holds {} to replay (sequence numbers {} to {}; valid in all: {}): {} and {:#x} bytes of "
           "zeros{}; readers see them, and the next writable open puts them in place",
           counted(scan.active.size(), "entry", "entries"), scan.active.front().sequence,
           content.head().sequence, scan.entries.size(), counted(content.pages.size(), "page", "pages"),
           zeroed, growth);
  for (const LogEntry& entry : scan.active) {
    if (is_multiple(entry.flushed_file_offset, kAlignment) && is_multiple(entry.last_file_offset, kAlignment))
      continue;
    sink.add(Finding::Severity::kNote, faults::kLogUnaligned,
             "the log entry at {:#x} of the log has FlushedFileOffset {:#x} and LastFileOffset {:#x}; both "
             "are to be "
             "multiples of 1 MiB",
             entry.at, entry.flushed_file_offset, entry.last_file_offset);
  }
}

}  // namespace

Status check_log(File& file, const LogRegion& region, const ImageOpen& open, CheckSink& sink) {
  LogContent content;
  const Status status = read_log(file, region, open.limits, content);
  if (!status && !is_log_fault(status.error())) return status;
  if (status) {
    report_content(content, sink);
  } else {
    sink.add(status.error());
  }
  // What a power cut leaves behind the last entry, as a rule; the message of an empty log tells it already.
  if (content.scan.torn_entries != 0) {
    sink.add(Finding::Severity::kNote, faults::kLogTorn, "{} of the log {} not whole, the first {}",
             counted(content.scan.torn_entries, "entry", "entries"),
             content.scan.torn_entries == 1 ? "is" : "are", content.scan.first_torn);
  }
  return {};
}

}  // namespace vdisk::vhdx
