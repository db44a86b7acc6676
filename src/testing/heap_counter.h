// SPDX-License-Identifier: Apache-2.0
//
// Counts what the program takes from operator new. Linking it in replaces the global operators, so it is for
// test programs alone.
#pragma once

#include <cstdint>

namespace vdisk::testing {

/// Counts from its birth on, over all threads. One at a time.
class HeapCounter {
 public:
  HeapCounter();
  /// The most bytes that were held at once, above what was held at the beginning.
  std::uint64_t peak_bytes() const;
  std::uint64_t allocations() const;

 private:
  std::int64_t bytes_before_;
  std::uint64_t allocations_before_;
};

/// Makes the calling thread's `n`-th allocation from now on throw std::bad_alloc (0: the next one); once.
void fail_allocation(std::int64_t n) noexcept;
/// Takes that back; true when it had not come to it.
bool cancel_failing_allocation() noexcept;

}  // namespace vdisk::testing
