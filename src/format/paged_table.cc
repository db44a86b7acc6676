// SPDX-License-Identifier: Apache-2.0
#include "format/paged_table.h"

#include <algorithm>

#include "base/checked.h"
#include "base/crc32c.h"

namespace vdisk {

namespace {
constinit const PagedTable::Page kZeroPage{.bytes = {}};
}  // namespace

PagedTable::PagedTable(std::uint64_t page_count, std::uint64_t most_bytes, Loader loader)
    : page_count_(page_count),
      most_bytes_(most_bytes),
      loader_(std::move(loader)),
      directory_(divide_up(page_count, kLeafPages)) {}

PagedTable::~PagedTable() {
  for (auto& slot : directory_) {
    Leaf* leaf = slot.load(std::memory_order_relaxed);
    if (leaf == nullptr) continue;
    for (auto& entry : leaf->pages) {
      const Page* page = entry.load(std::memory_order_relaxed);
      if (page != &kZeroPage) delete page;
    }
    delete leaf;
  }
}

bool PagedTable::is_zero(const Page* page) noexcept { return page == &kZeroPage; }

Status PagedTable::take_memory(std::uint64_t page_number) {
  if (loaded_bytes_ + kPageBytes > most_bytes_) {
    return fail(faults::kMemory,
                "table page {} would exceed the limit of {} cached bytes; raise Limits::table_bytes",
                page_number, most_bytes_);
  }
  loaded_bytes_ += kPageBytes;
  return {};
}

Result<const PagedTable::Page*> PagedTable::load(std::uint64_t page_number) {
  VDISK_ASSERT(page_number < page_count_);
  auto fresh = std::make_unique_for_overwrite<Page>();
  VDISK_TRY(loader_(page_number, std::span<std::byte, kPageBytes>(fresh->bytes)));
  const bool zero = is_all_zero(fresh->bytes);

  const MutexLock lock(mutex_);
  auto& slot = directory_[page_number / kLeafPages];
  if (slot.load(std::memory_order_relaxed) == nullptr) {
    slot.store(std::make_unique<Leaf>().release(), std::memory_order_release);
  }
  auto& entry = slot.load(std::memory_order_relaxed)->pages[page_number % kLeafPages];
  if (const Page* first = entry.load(std::memory_order_relaxed)) return first;  // Another thread was faster.
  if (!zero) VDISK_TRY(take_memory(page_number));
  const Page* const page = zero ? &kZeroPage : fresh.release();
  entry.store(page, std::memory_order_release);
  return page;
}

Result<PagedTable::Page*> PagedTable::writable_page(std::uint64_t page_number) {
  const Page* shown = VDISK_TRY(page(page_number));
  // Pages of our own were born writable; only the shared one is not.
  if (!is_zero(shown)) return const_cast<Page*>(shown);
  auto fresh = std::make_unique<Page>();
  std::ranges::fill(fresh->bytes, std::byte{0});
  const MutexLock lock(mutex_);
  VDISK_TRY(take_memory(page_number));
  Leaf* leaf = directory_[page_number / kLeafPages].load(std::memory_order_relaxed);
  leaf->pages[page_number % kLeafPages].store(fresh.get(), std::memory_order_release);
  return fresh.release();
}

std::uint64_t PagedTable::next_loaded_page(std::uint64_t from, std::uint64_t until) const noexcept {
  while (from < until) {
    const Leaf* leaf = directory_[from / kLeafPages].load(std::memory_order_acquire);
    const std::uint64_t leaf_end = std::min(until, round_down(from, kLeafPages) + kLeafPages);
    for (; leaf != nullptr && from < leaf_end; ++from) {
      const Page* page = leaf->pages[from % kLeafPages].load(std::memory_order_acquire);
      if (page != nullptr && !is_zero(page)) return from;
    }
    from = leaf_end;
  }
  return until;
}

}  // namespace vdisk
