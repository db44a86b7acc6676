// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic on numbers that come from a file: each result says whether it overflowed.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace vdisk {

template <std::unsigned_integral T>
constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::unsigned_integral T>
constexpr std::optional<T> checked_multiply(T a, T b) noexcept {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// True when [at, at + length) lies in [0, size), without overflow.
constexpr bool fits_within(std::uint64_t at, std::uint64_t length, std::uint64_t size) noexcept {
  return at <= size && length <= size - at;
}

/// True when the two ranges share a byte. REQUIRES: neither overflows.
constexpr bool ranges_overlap(std::uint64_t a, std::uint64_t a_length, std::uint64_t b,
                              std::uint64_t b_length) noexcept {
  return a_length != 0 && b_length != 0 && a < b + b_length && b < a + a_length;
}

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return value / unit + (value % unit != 0 ? 1 : 0);
}

/// REQUIRES: the result fits.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return divide_up(value, unit) * unit;
}
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) noexcept {
  return value - value % unit;
}
constexpr bool is_multiple(std::uint64_t value, std::uint64_t unit) noexcept { return value % unit == 0; }

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

}  // namespace vdisk
