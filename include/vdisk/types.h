// SPDX-License-Identifier: Apache-2.0
//
// The small values that every other header speaks in: offsets of the two address spaces that get mixed up
// (the virtual disk's and the image file's), and GUIDs.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vdisk::inline v1 {

/// A position on the virtual disk, in bytes.
struct DiskOffset {
  std::uint64_t bytes = 0;
  auto operator<=>(const DiskOffset&) const = default;
};

/// A position in an image file, in bytes.
struct FileOffset {
  std::uint64_t bytes = 0;
  auto operator<=>(const FileOffset&) const = default;
};

/// `length` bytes of the virtual disk from `at`. A valid range never overflows: at.bytes + length fits in 64 bits.
struct DiskRange {
  DiskOffset at;
  std::uint64_t length = 0;
  std::uint64_t end() const noexcept { return at.bytes + length; }
  bool operator==(const DiskRange&) const = default;
};

/// A GUID in Windows' memory and VHDX on-disk order: the first three fields little-endian, the rest as is.
struct Guid {
  std::array<std::uint8_t, 16> bytes{};

  bool is_zero() const noexcept { return *this == Guid{}; }
  /// Lower case, without braces: "caa16737-fa36-4d43-b3b6-33f0aa44e76b".
  std::string to_string() const;
  /// Accepts upper and lower case, with or without braces; nothing else.
  static std::optional<Guid> parse(std::string_view text) noexcept;
  /// From and to the 16 bytes in the order in which the text form prints them (as VHD stores its unique id).
  static Guid from_text_order(const std::array<std::uint8_t, 16>& bytes) noexcept;
  std::array<std::uint8_t, 16> to_text_order() const noexcept;

  auto operator<=>(const Guid&) const = default;
};

}  // namespace vdisk::v1
