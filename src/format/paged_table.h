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
#include "base/mutex.h"

namespace vdisk {

/// Pages are found through a directory of two levels, so that 64 TiB of 1 MiB blocks (131,104 pages) costs
/// little until it is used. A page, once loaded, stays where it is until the table dies. Thread rule: page()
/// from any number of threads; two that load the same page at once both read it and one copy is kept.
class PagedTable {
 public:
  static constexpr std::size_t kPageBytes = 4096;

  struct alignas(64) Page {
    union {
      std::byte bytes[kPageBytes];
      std::uint64_t words[kPageBytes / 8];
    };
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

  /// The same page for changing: the shared zero page gives way to one of its own. Only words are changed,
  /// with store_word, and only by one thread at a time; readers go on meanwhile. REQUIRES: as page(), and no
  /// other call of writable_page at the same time.
  Result<Page*> writable_page(std::uint64_t page_number);
  /// The first page in [from, until) that is loaded and not the shared zero page; `until` if there is none.
  std::uint64_t next_loaded_page(std::uint64_t from, std::uint64_t until) const noexcept;

  /// The eight bytes at index `word`, in the order of the file, in one piece also while a writer changes
  /// them. What was written before a word was stored is seen by whoever loads that word.
  static std::uint64_t load_word(const Page& page, std::size_t word) noexcept {
    return std::atomic_ref<std::uint64_t>(const_cast<Page&>(page).words[word])
        .load(std::memory_order_acquire);
  }
  static void store_word(Page& page, std::size_t word, std::uint64_t value) noexcept {
    std::atomic_ref<std::uint64_t>(page.words[word]).store(value, std::memory_order_release);
  }
  static constexpr std::size_t kWordsPerPage = kPageBytes / 8;

  std::uint64_t page_count() const noexcept { return page_count_; }
  /// True when the page is the shared zero page.
  static bool is_zero(const Page* page) noexcept;

 private:
  static constexpr std::size_t kLeafPages = 512;
  struct Leaf {
    std::atomic<const Page*> pages[kLeafPages] = {};
  };

  Result<const Page*> load(std::uint64_t page_number) VDISK_EXCLUDES(mutex_);
  Status take_memory(std::uint64_t page_number) VDISK_REQUIRES(mutex_);

  const std::uint64_t page_count_;
  const std::uint64_t most_bytes_;
  const Loader loader_;
  std::vector<std::atomic<Leaf*>> directory_;
  Mutex mutex_;  ///< Held to put a page into the directory; not while one is read, nor to find one.
  std::uint64_t loaded_bytes_ VDISK_GUARDED_BY(mutex_) = 0;
};

}  // namespace vdisk
