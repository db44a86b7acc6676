// SPDX-License-Identifier: Apache-2.0
//
// Writes past the page cache, for files that are filled at once and flushed: what nobody reads soon need not
// be copied into memory first, and the medium is at work from the first write on.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk {

/// Thread rule: any thread; writes do not overlap. The file outlives it.
class DirectWriter {
 public:
  /// Offsets and memory of a direct write are multiples of this.
  static constexpr std::size_t kAlignmentBytes = 4096;
  /// Shorter writes wait longer for the medium than they save.
  static constexpr std::size_t kLeastBytes = 128 * 1024;

  /// Where the host has no direct I/O for the file every write is an ordinary one.
  explicit DirectWriter(File& file);

  /// As File::write; direct where it is long and aligned. **Durability:** none before File::flush.
  Status write(FileOffset at, std::span<const std::byte> from);

  /// Whether direct writes are tried.
  bool direct() const noexcept { return fd_ && !refused_.load(std::memory_order_relaxed); }

 private:
  std::size_t write_direct(FileOffset at, std::span<const std::byte> from);

  File& file_;
  UniqueFd fd_;  ///< Of the same file, without the page cache.
  std::atomic<bool> refused_{false};
};

}  // namespace vdisk
