// SPDX-License-Identifier: Apache-2.0
#include "serve/memory.h"

#include <linux/prctl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <array>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace vdisk::serve {

namespace {

constexpr std::size_t kHeapBytes = std::size_t{8} << 20;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

}  // namespace

void prepare_for_short_memory() noexcept {
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
  // One heap that never shrinks, and enough of it for the small things that requests and tables need.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
  ::mallopt(M_MMAP_THRESHOLD, INT_MAX);
  if (void* heap = std::malloc(kHeapBytes); heap != nullptr) {
    std::memset(heap, 1, kHeapBytes);
    asm volatile("" : : "r"(heap) : "memory");  // or the three calls would be left out
    std::free(heap);
  }
  touch_stack();
  // What is not there yet is locked when it is first used: thread stacks would take their whole size
  // otherwise.
  static_cast<void>(::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
}

void touch_stack() noexcept {
  std::array<std::byte, kStackBytes> bytes;
  std::memset(bytes.data(), 0, bytes.size());
  asm volatile("" : : "r"(bytes.data()) : "memory");
}

}  // namespace vdisk::serve
