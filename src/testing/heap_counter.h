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

}  // namespace vdisk::testing
