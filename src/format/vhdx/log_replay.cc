// SPDX-License-Identifier: Apache-2.0
//
// Durable replay. The log stays named by the headers until all that it holds is on stable storage, so that
// any failure or power cut before leaves a file that replays again; what is written twice is the same both
// times.
#include <algorithm>
#include <limits>
#include <vector>

#include "base/checked.h"
#include "base/random.h"
#include "base/text.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/header.h"
#include "format/vhdx/log_content.h"
#include "format/vhdx/log_faults.h"

namespace vdisk::vhdx {

namespace {

constexpr std::size_t kMostPagesAtOnce = kMiB / kLogSectorBytes;

/// Calls `use(at, bytes)` for each run of neighbouring pages, at most a MiB long. Their bytes are gathered
/// only if asked for.
template <class Use>
Status for_each_run(const LogContent& content, bool with_bytes, const Use& use) {
  std::vector<std::byte> bytes;
  for (auto page = content.pages.begin(); page != content.pages.end();) {
    const std::uint64_t at = page->first;
    std::uint64_t count = 0;
    bytes.clear();
    while (page != content.pages.end() && page->first == at + count * kLogSectorBytes &&
           count < kMostPagesAtOnce) {
      if (with_bytes) bytes.insert(bytes.end(), page->second->begin(), page->second->end());
      ++count;
      ++page;
    }
    VDISK_TRY(use(at, count * kLogSectorBytes, bytes));
  }
  return {};
}

/// The new length and the space of every page that lies in a hole, before the first page is written: a full
/// host stops replay here, where nothing that the file showed has changed. (A host that copies on write can
/// still be full later; then replay fails half-way and the log, still named, replays again.)
Status reserve_space(File& file, const LogContent& content) {
  if (content.size_after > content.size_before) VDISK_TRY(file.resize(content.size_after));
  return for_each_run(content, false, [&](std::uint64_t at, std::uint64_t length, const auto&) -> Status {
    const std::uint64_t end = at + length;
    const std::uint64_t hole = VDISK_TRY(file.next_hole(FileOffset{at})).bytes;
    if (hole >= end) return {};
    // Zeros over bytes behind the hole do no harm: they are the log's pages, which are about to be written.
    return file.zero(FileOffset{hole}, end - hole);
  });
}

Status apply(File& file, const LogContent& content) {
  for (const auto& [at, end] : content.zeros) {
    // Behind the old end there are zeros already.
    const std::uint64_t stop = std::min(end, content.size_before);
    if (at < stop) VDISK_TRY(file.zero(FileOffset{at}, stop - at));
  }
  return for_each_run(content, true,
                      [&](std::uint64_t at, std::uint64_t, const std::vector<std::byte>& bytes) {
                        return file.write(FileOffset{at}, bytes);
                      });
}

Status check_headers(File& file, const Headers& headers, const LogRegion& region) {
  const Header& current = headers.current;
  if (current.log_guid != region.guid || current.log_offset != region.offset ||
      current.log_length != region.length) {
    return fail(faults::kLogChanged,
                "{}: the header names the log {} at {:#x}, no longer {} at {:#x}: another program has "
                "changed the file; "
                "open it again",
                file.name(), current.log_guid.to_string(), current.log_offset, region.guid.to_string(),
                region.offset);
  }
  // Both updates of both headers must be possible before the first is made.
  if (current.sequence_number > std::numeric_limits<std::uint64_t>::max() - 4) {
    return fail(faults::kSequenceExhausted,
                "{}: the header's sequence number is {}: it cannot be raised any more, so the log cannot be "
                "replayed; "
                "open the image read-only and convert it to a new file",
                file.name(), current.sequence_number);
  }
  return {};
}

}  // namespace

Status replay_log(File& file, const LogRegion& region, const ImageOpen& open) {
  Headers headers = VDISK_TRY(read_headers(file));
  VDISK_TRY(check_headers(file, headers, region));
  LogContent content;
  VDISK_TRY(read_log(file, region, open.limits, content));

  // FileWriteGuid changes before anything else does (formats.md 2.12); DataWriteGuid does not: the content is
  // what the last writer promised, and children hold on to it.
  Header next = headers.current;
  next.file_write_guid = random_guid();
  VDISK_TRY_CONTEXT(write_header_twice(file, headers, next), "beginning to replay the log");

  VDISK_TRY_CONTEXT(reserve_space(file, content), "reserving space to replay the log");
  VDISK_TRY_CONTEXT(apply(file, content), "replaying the log");
  VDISK_TRY_CONTEXT(file.flush(), "flushing the replayed log");

  next.log_guid = Guid{};
  VDISK_TRY_CONTEXT(write_header_twice(file, headers, next), "closing the replayed log");
  if (open.trace) {
    open.trace(TraceLevel::kNote, fmt::format("{}: {} of the log replayed, {} written", file.name(),
                                              counted(content.scan.active.size(), "entry", "entries"),
                                              counted(content.pages.size(), "page", "pages")));
  }
  return {};
}

}  // namespace vdisk::vhdx
