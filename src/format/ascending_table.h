// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk {

/// Writes a table of a new file whose entries become known in ascending order: each page of 4 KiB once, pages
/// without an entry never, so that memory does not grow with the table. Thread rule: one thread.
class AscendingTable {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;

  /// The table has `length` bytes from `at` on; what is not set reads as `fill` in the file already.
  AscendingTable(File& file, FileOffset at, std::uint64_t length, std::byte fill)
      : file_(file), at_(at), length_(length), fill_(fill) {}

  /// REQUIRES: entries ascend, lie inside the table, and none crosses a page.
  Status set(std::uint64_t position, std::span<const std::byte> entry);
  /// Writes the page at hand.
  Status finish();

 private:
  File& file_;
  const FileOffset at_;
  const std::uint64_t length_;
  const std::byte fill_;
  std::uint64_t page_ = 0;
  std::vector<std::byte> bytes_;  // of page_; empty if nothing of it is set
};

}  // namespace vdisk
