// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli), as MS-VHDX uses it; formats.md 2.6 has the test vectors. ISA-L does the work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vdisk {

/// CRC of `bytes`; chain pieces by passing the previous result as `previous`.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous = 0) noexcept;

/// CRC of `bytes` with the four bytes at `field_at` counted as zero. REQUIRES: field_at + 4 <= bytes.size().
std::uint32_t crc32c_with_zero_field(std::span<const std::byte> bytes, std::size_t field_at) noexcept;

/// True when every byte is zero.
bool is_all_zero(std::span<const std::byte> bytes) noexcept;

}  // namespace vdisk
