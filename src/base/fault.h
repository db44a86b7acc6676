// SPDX-License-Identifier: Apache-2.0
//
// Giving birth to errors and passing them on. A failure is born once, with `fail(faults::kRow, "what {} where
// {:#x}", …)`; VDISK_TRY hands it up; VDISK_TRY_CONTEXT adds a frame on the way. Context text is formatted on
// failure only.
#pragma once

#include <fmt/format.h>
#include <vdisk/error.h>

#include <source_location>
#include <span>
#include <utility>

namespace vdisk {

/// A fault row together with the place that fails; lets `fail` take a format string and still know its
/// caller.
struct FaultAt {
  FaultAt(const Fault& row, std::source_location place = std::source_location::current())  // NOLINT: implicit
      : fault(row), where(place) {}
  const Fault& fault;
  std::source_location where;
};

template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(FaultAt at, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(at.fault, fmt::format(format, std::forward<Args>(args)...), 0, at.where));
}

/// As `fail`, for a failed system call: appends the errno's text to the sentence and keeps the number.
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(FaultAt at, int os_errno, fmt::format_string<Args...> format,
                                                Args&&... args);

std::string errno_text(int os_errno);

template <class... Args>
std::unexpected<Error> fail_errno(FaultAt at, int os_errno, fmt::format_string<Args...> format,
                                  Args&&... args) {
  std::string message = fmt::format(format, std::forward<Args>(args)...);
  message += ": ";
  message += errno_text(os_errno);
  return std::unexpected(Error(at.fault, std::move(message), os_errno, at.where));
}

/// Rows of one folder, for docs/errors.md and for the ledger of provoked faults.
using FaultTable = std::span<const Fault* const>;

namespace faults {
inline constexpr Fault kMemory{"base.memory", 8, "Memory could not be allocated."};
inline constexpr Fault kCancelled{"base.cancelled", 995, "The caller cancelled the operation."};
inline constexpr const Fault* kBase[] = {&kMemory, &kCancelled};
}  // namespace faults

// A statement expression (g++ and clang) so that the value can be used in place.
#define VDISK_TRY(expression)                                          \
  __extension__({                                                      \
    auto&& vdisk_try_result = (expression);                            \
    if (!vdisk_try_result) [[unlikely]]                                \
      return ::std::unexpected(::std::move(vdisk_try_result).error()); \
    *::std::move(vdisk_try_result);                                    \
  })

#define VDISK_TRY_CONTEXT(expression, ...)                                    \
  __extension__({                                                             \
    auto&& vdisk_try_result = (expression);                                   \
    if (!vdisk_try_result) [[unlikely]] {                                     \
      ::vdisk::Error vdisk_try_error = ::std::move(vdisk_try_result).error(); \
      vdisk_try_error.add_context(::fmt::format(__VA_ARGS__));                \
      return ::std::unexpected(::std::move(vdisk_try_error));                 \
    }                                                                         \
    *::std::move(vdisk_try_result);                                           \
  })

/// An invariant of our own code, checked in release too. Never judges input.
#define VDISK_ASSERT(condition)                        \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::vdisk::assertion_failed(#condition, __FILE__, __LINE__))

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace vdisk
