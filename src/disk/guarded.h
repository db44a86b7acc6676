// SPDX-License-Identifier: Apache-2.0
//
// The boundary of the library: no exception crosses it. The only ones that the library's own code can meet
// are those of the standard library's allocation.
#pragma once

#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "base/fault.h"

namespace vdisk {

/// Calls `body`, which returns a Result; exhausted memory becomes base.memory (8).
template <class Body>
std::invoke_result_t<Body> guarded(Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return fail(faults::kMemory, "memory could not be allocated");
  } catch (const std::length_error&) {
    return fail(faults::kMemory, "more memory was asked for than a program can have");
  }
}

}  // namespace vdisk
