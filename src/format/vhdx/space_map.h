// SPDX-License-Identifier: Apache-2.0
//
// Which MiB of a file are taken: one bit each, in pages that come into being as they are touched.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

namespace vdisk::vhdx {

class SpaceMap {
 public:
  /// Bounds the memory: 64 MiB of bits describe 512 TiB of file, wherever its parts lie.
  static constexpr std::size_t kMostPages = 16384;

  enum class Claim {
    kFree,    ///< Nobody had any of it; now it is taken.
    kTaken,   ///< Part of it was taken before; now all of it is.
    kTooFar,  ///< Part of it could not be noted: the map is full.
  };
  /// In MiB.
  Claim claim(std::uint64_t first, std::uint64_t count);
  /// MiB that are taken, each counted once.
  std::uint64_t taken() const noexcept { return taken_; }
  /// Calls `use(first, count)` for each stretch of [0, end) that nobody has taken, in order, until it returns
  /// false.
  void for_each_free(std::uint64_t end, const std::function<bool(std::uint64_t, std::uint64_t)>& use) const;

 private:
  static constexpr std::uint64_t kBitsPerPage = 32768;
  using Page = std::array<std::uint64_t, kBitsPerPage / 64>;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
  std::uint64_t taken_ = 0;
};

}  // namespace vdisk::vhdx
