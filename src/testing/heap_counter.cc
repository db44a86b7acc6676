// SPDX-License-Identifier: Apache-2.0
#include "testing/heap_counter.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> held_bytes{0};
std::atomic<std::int64_t> peak_held_bytes{0};
std::atomic<std::uint64_t> allocation_count{0};

thread_local std::int64_t allocations_until_failure = -1;  // -1: never

void* take(std::size_t size) {
  if (allocations_until_failure >= 0 && allocations_until_failure-- == 0) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}

/// Counts `memory`, if there is any.
void* noted(void* memory) noexcept {
  if (memory == nullptr) return nullptr;
  const auto size = static_cast<std::int64_t>(malloc_usable_size(memory));
  const std::int64_t held = held_bytes.fetch_add(size, std::memory_order_relaxed) + size;
  std::int64_t peak = peak_held_bytes.load(std::memory_order_relaxed);
  while (held > peak && !peak_held_bytes.compare_exchange_weak(peak, held, std::memory_order_relaxed)) {
  }
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return noted(memory);
}

void uncounted(void* memory) noexcept {
  if (memory == nullptr) return;
  held_bytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}

void* aligned(std::size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(unit, (size + unit - 1) / unit * unit));
}

}  // namespace

void* operator new(std::size_t size) { return counted(take(size)); }
void* operator new[](std::size_t size) { return counted(take(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return noted(take(size)); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return noted(take(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) { return aligned(size, alignment); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return aligned(size, alignment); }
void operator delete(void* memory) noexcept { uncounted(memory); }
void operator delete[](void* memory) noexcept { uncounted(memory); }
void operator delete(void* memory, std::size_t) noexcept { uncounted(memory); }
void operator delete[](void* memory, std::size_t) noexcept { uncounted(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { uncounted(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { uncounted(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { uncounted(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { uncounted(memory); }

namespace vdisk::testing {

HeapCounter::HeapCounter() : bytes_before_(held_bytes.load()), allocations_before_(allocation_count.load()) {
  peak_held_bytes.store(bytes_before_);
}

std::uint64_t HeapCounter::peak_bytes() const {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, peak_held_bytes.load() - bytes_before_));
}

std::uint64_t HeapCounter::allocations() const { return allocation_count.load() - allocations_before_; }

void fail_allocation(std::int64_t n) noexcept { allocations_until_failure = n; }

bool cancel_failing_allocation() noexcept {
  const bool pending = allocations_until_failure >= 0;
  allocations_until_failure = -1;
  return pending;
}

}  // namespace vdisk::testing
