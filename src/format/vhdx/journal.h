// SPDX-License-Identifier: Apache-2.0
//
// Writing the log (MS-VHDX 2.3, formats.md 2.7): one write session from the first entry to the empty log that
// a clean close leaves. What is written here is read by log_parse and log_replay.
//
// The order that keeps every instant recoverable:
//   entries -> flush -> pages in place -> a later flush -> an entry whose Tail leaves them out -> flush
// Only then may the ring's sectors of those entries be written again: until then the newest durable entry
// names them as its tail, and without them nothing would replay.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/fault.h"
#include "format/paged_table.h"
#include "format/vhdx/header.h"
#include "format/vhdx/layout.h"
#include "io/file.h"

namespace vdisk::vhdx {

/// A page of BAT or sector bitmap as it is to be.
struct LoggedPage {
  std::uint64_t file_offset = 0;
  PagedTable::Page page;
};

/// Thread rule: one caller at a time. After any failure only destruction is left: the file then holds a log
/// that replays, or none.
class Journal {
 public:
  /// Keeps `headers` up to date. Both outlive the journal.
  Journal(File& file, Headers& headers) : file_(file), headers_(headers) {}

  /// Makes sure that the log's own space is there: a full host shows before anything is changed.
  Status reserve();
  /// Begins a session: an empty entry that carries the future LogGuid, then that GUID in both headers with a
  /// new FileWriteGuid and a new DataWriteGuid (formats.md 2.12). Three flushes.
  Status begin();
  /// Writes the pages, in this order, in as few entries as fit, flushes, and puts them in place. After a
  /// crash a first part of the pages is there, whole entries at a time. With no pages it only flushes.
  /// **Durability:** the pages, and everything that was written to the file before the call.
  /// `last_file_bytes`: how long the file must be.
  Status commit(std::span<const LoggedPage> pages, std::uint64_t last_file_bytes);
  Status flush();
  /// Ends the session: the log is empty, both headers say so. REQUIRES: nothing is to be committed any more.
  Status finish();

 private:
  // Places in the log count sectors from the session's beginning and never wrap; modulo the ring they are
  // where things lie.
  std::uint64_t ring_sectors() const noexcept { return headers_.current.log_length / kLogSectorBytes; }
  std::uint64_t free_sectors() const noexcept { return ring_sectors() - (head_ - durable_tail_); }
  /// Pages that an entry of so many sectors holds.
  static std::uint64_t pages_in(std::uint64_t sectors) noexcept;

  /// Puts the entry at the head; pages go in place with apply().
  Status write_entry(std::span<const LoggedPage> pages);
  Status write_ring(std::uint64_t at, std::span<const std::byte> bytes);
  /// Writes the pages of all entries in place. REQUIRES: all are durable.
  Status apply();
  /// Gets the whole ring but one sector.
  Status make_room();

  File& file_;
  Headers& headers_;
  Guid guid_;
  std::uint64_t sequence_ = 0;       ///< Of the next entry.
  std::uint64_t head_ = 0;           ///< Where the next entry goes.
  std::uint64_t flushed_ = 0;        ///< Entries before it are durable.
  std::uint64_t applied_ = 0;        ///< The pages of entries before it were written in place …
  std::uint64_t in_place_ = 0;       ///< … and those of entries before this are durable there.
  std::uint64_t tail_ = 0;           ///< Of the newest entry.
  std::uint64_t durable_tail_ = 0;   ///< Of the newest durable entry.
  std::uint64_t file_bytes_ = 0;     ///< How long the file must be.
  std::uint64_t durable_bytes_ = 0;  ///< How long it is known to be on stable storage.
  std::vector<std::span<const LoggedPage>> to_apply_;
  std::vector<std::byte> buffer_;
};

/// Makes holes of [at, at + length) into space that is there; bytes stay as they are.
Status reserve_range(File& file, std::uint64_t at, std::uint64_t length);

}  // namespace vdisk::vhdx
