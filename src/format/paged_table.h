// SPDX-License-Identifier: Apache-2.0
//
// A table in a file (a BAT, a sector bitmap) that is read in 4 KiB pages on first touch, validated at that
// moment, and then read without locks. Opening costs nothing however large the table is; memory follows use.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/fault.h"

namespace vdisk {

/// Pages are found through a directory of two levels, so that 64 TiB of 1 MiB blocks (131,104 pages) costs
/// little until it is used. A page, once loaded, stays where it is until the table dies. Thread rule: page()
/// from any number of threads; two that load the same page at once both read it and one copy is kept.
class PagedTable {
 public:
  static constexpr std::size_t kPageBytes = 4096;

  struct alignas(64) Page {
    std::byte bytes[kPageBytes];
  };

  /// Fills one page with the table's bytes (zeros past the table's end) and validates it.
  using Loader = std::function<Status(std::uint64_t page_number, std::span<std::byte, kPageBytes> into)>;

  /// `most_bytes` bounds the memory of loaded pages; beyond it loading fails with base.memory.
  PagedTable(std::uint64_t page_count, std::uint64_t most_bytes, Loader loader);
  ~PagedTable();
  PagedTable(const PagedTable&) = delete;
  PagedTable& operator=(const PagedTable&) = delete;

  /// REQUIRES: page_number < page_count(). Pages that are wholly zero share one zero page.
  Result<const Page*> page(std::uint64_t page_number) {
    const auto* leaf = directory_[page_number / kLeafPages].load(std::memory_order_acquire);
    if (leaf != nullptr) [[likely]] {
      const Page* page = leaf->pages[page_number % kLeafPages].load(std::memory_order_acquire);
      if (page != nullptr) [[likely]]
        return page;
    }
    return load(page_number);
  }

  std::uint64_t page_count() const noexcept { return page_count_; }
  /// True when the page is the shared zero page.
  static bool is_zero(const Page* page) noexcept;

 private:
  static constexpr std::size_t kLeafPages = 512;
  struct Leaf {
    std::atomic<const Page*> pages[kLeafPages] = {};
  };

  Result<const Page*> load(std::uint64_t page_number);

  const std::uint64_t page_count_;
  const std::uint64_t most_bytes_;
  const Loader loader_;
  std::vector<std::atomic<Leaf*>> directory_;
  std::atomic<std::uint64_t> loaded_bytes_{0};
};

}  // namespace vdisk
