// SPDX-License-Identifier: Apache-2.0
//
// The sector bitmaps of an open VHD, each read on the first touch of its block and then read without locks.
// Most bitmaps of real images are all ones or all zeros; those cost one shared word.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::vhd {

/// A loaded bitmap: most significant bit first, as on disk, in words of this host, so that sector s is bit
/// 63 - s % 64 of word s / 64.
class SectorBitmap {
 public:
  enum class Kind { kAllClear, kAllSet, kMixed };
  SectorBitmap(Kind kind, const std::uint64_t* words) noexcept : words_(words), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }
  bool bit(std::uint32_t sector) const noexcept { return words_[sector / 64] << sector % 64 >> 63 != 0; }
  /// How many sectors from `sector` on have the same bit, up to `end`. REQUIRES: kind() is kMixed, sector <
  /// end.
  std::uint32_t run(std::uint32_t sector, std::uint32_t end) const noexcept {
    const std::uint64_t flip = bit(sector) ? ~std::uint64_t{0} : 0;
    std::uint32_t at = sector;
    while (at < end) {
      const std::uint32_t left_in_word = 64 - at % 64;
      const auto same = static_cast<std::uint32_t>(std::countl_zero((words_[at / 64] ^ flip) << at % 64));
      if (same < left_in_word) return std::min(at + same, end) - sector;
      at += left_in_word;
    }
    return end - sector;
  }

 private:
  const std::uint64_t* words_;
  Kind kind_;
};

/// Thread rule: get() from any number of threads; two that load the same bitmap at once both read it and one
/// copy is kept.
class BlockBitmaps {
 public:
  /// `sectors` is the number of sectors of a block, `most_bytes` bounds the memory of loaded bitmaps; beyond
  /// it loading fails with base.memory. `file` outlives this.
  BlockBitmaps(File& file, std::uint64_t block_count, std::uint32_t sectors, std::uint64_t most_bytes);
  ~BlockBitmaps();
  BlockBitmaps(const BlockBitmaps&) = delete;
  BlockBitmaps& operator=(const BlockBitmaps&) = delete;

  /// The bitmap of `block`, whose bits past the first `used_sectors` do not count. `at` is its place in the
  /// file, and it and `used_sectors` must be the same in every call for the block.
  Result<SectorBitmap> get(std::uint64_t block, FileOffset at, std::uint32_t used_sectors) {
    const Leaf* leaf = directory_[block >> leaf_shift_].load(std::memory_order_acquire);
    if (leaf != nullptr) [[likely]] {
      const std::uint64_t* words = leaf[block & leaf_mask_].load(std::memory_order_acquire);
      if (words != nullptr) [[likely]]
        return SectorBitmap(kind_of(words), words);
    }
    return load(block, at, used_sectors);
  }

  std::uint64_t loaded_bytes() const noexcept { return loaded_bytes_.load(std::memory_order_relaxed); }

 private:
  using Leaf = std::atomic<const std::uint64_t*>;  // the first of an array of leaf_mask_ + 1

  static const std::uint64_t kClear;  // their addresses stand for whole bitmaps
  static const std::uint64_t kSet;
  static SectorBitmap::Kind kind_of(const std::uint64_t* words) noexcept {
    if (words == &kSet) return SectorBitmap::Kind::kAllSet;
    return words == &kClear ? SectorBitmap::Kind::kAllClear : SectorBitmap::Kind::kMixed;
  }

  Result<SectorBitmap> load(std::uint64_t block, FileOffset at, std::uint32_t used_sectors);
  Result<std::unique_ptr<std::uint64_t[]>> read_words(FileOffset at) const;
  Result<Leaf*> leaf_of(std::uint64_t block);
  Status charge(std::uint64_t bytes);

  File& file_;
  const std::uint32_t word_count_;
  const std::uint32_t stored_bytes_;
  const std::uint64_t most_bytes_;
  const std::uint32_t leaf_shift_;
  const std::uint64_t leaf_mask_;
  std::vector<std::atomic<Leaf*>> directory_;
  std::atomic<std::uint64_t> loaded_bytes_{0};
};

}  // namespace vdisk::vhd
