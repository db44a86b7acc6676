// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <isa-l/mem_routines.h>

#include <algorithm>
#include <array>

namespace vdisk {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous) noexcept {
  // crc32_iscsi takes an int length and works on the inverted register; it never writes through the pointer.
  std::uint32_t crc = ~previous;
  constexpr std::size_t kMost = std::size_t{1} << 30;
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kMost));
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    crc = crc32_iscsi(data, static_cast<int>(piece.size()), crc);
    bytes = bytes.subspan(piece.size());
  }
  return ~crc;
}

std::uint32_t crc32c_with_zero_field(std::span<const std::byte> bytes, std::size_t field_at) noexcept {
  constexpr std::array<std::byte, 4> kZero{};
  const std::uint32_t before = crc32c(bytes.first(field_at));
  return crc32c(bytes.subspan(field_at + 4), crc32c(kZero, before));
}

bool is_all_zero(std::span<const std::byte> bytes) noexcept {
  return bytes.empty() || isal_zero_detect(const_cast<std::byte*>(bytes.data()), bytes.size()) == 0;
}

}  // namespace vdisk
