// SPDX-License-Identifier: Apache-2.0
//
// Integers of layout structs: any alignment, fixed byte order, right on every host. Layout structs are read
// with memcpy from bytes and never cast.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace vdisk {

namespace internal {
template <std::unsigned_integral T, std::endian kOrder>
class StoredInteger {
 public:
  constexpr StoredInteger() = default;
  constexpr StoredInteger(T value) noexcept { *this = value; }  // NOLINT: implicit by intent
  constexpr StoredInteger& operator=(T value) noexcept {
    if constexpr (std::endian::native != kOrder && sizeof(T) > 1) value = std::byteswap(value);
    raw_ = std::bit_cast<decltype(raw_)>(value);
    return *this;
  }
  constexpr T get() const noexcept {
    T value = std::bit_cast<T>(raw_);
    if constexpr (std::endian::native != kOrder && sizeof(T) > 1) value = std::byteswap(value);
    return value;
  }
  constexpr operator T() const noexcept { return get(); }  // NOLINT: implicit by intent

 private:
  std::array<unsigned char, sizeof(T)> raw_{};
};
}  // namespace internal

template <std::unsigned_integral T>
using Le = internal::StoredInteger<T, std::endian::little>;
template <std::unsigned_integral T>
using Be = internal::StoredInteger<T, std::endian::big>;

/// Copies a layout struct out of bytes. REQUIRES: at least sizeof(T) bytes.
template <class T>
  requires std::is_trivially_copyable_v<T>
T load(std::span<const std::byte> bytes) noexcept {
  T value;
  std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof(T));
  return value;
}

template <class T>
  requires std::is_trivially_copyable_v<T>
void store(std::span<std::byte> bytes, const T& value) noexcept {
  std::memcpy(bytes.data(), &value, sizeof(T));
}

/// The bytes of a layout struct or a plain array element.
template <class T>
  requires std::is_trivially_copyable_v<T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
  return std::as_bytes(std::span(&value, 1));
}

template <class T>
  requires std::is_trivially_copyable_v<T>
std::span<std::byte> writable_bytes_of(T& value) noexcept {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace vdisk
