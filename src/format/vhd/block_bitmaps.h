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
#include <span>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::vhd {

/// A loaded bitmap: most significant bit first, as on disk, in words of this host, so that sector s is bit
/// 63 - s % 64 of word s / 64.
class SectorBitmap {
 public:
  enum class Kind { kAllClear, kAllSet, kMixed };
  using Word = std::atomic<std::uint64_t>;
  SectorBitmap(Kind kind, const Word* words) noexcept : words_(words), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }
  bool bit(std::uint32_t sector) const noexcept { return word(sector / 64) << sector % 64 >> 63 != 0; }
  /// How many sectors from `sector` on have the same bit, up to `end`. REQUIRES: kind() is kMixed, sector <
  /// end.
  std::uint32_t run(std::uint32_t sector, std::uint32_t end) const noexcept {
    const std::uint64_t flip = bit(sector) ? ~std::uint64_t{0} : 0;
    std::uint32_t at = sector;
    while (at < end) {
      const std::uint32_t left_in_word = 64 - at % 64;
      const auto same = static_cast<std::uint32_t>(std::countl_zero((word(at / 64) ^ flip) << at % 64));
      if (same < left_in_word) return std::min(at + same, end) - sector;
      at += left_in_word;
    }
    return end - sector;
  }

  /// True when the bits of all sectors in [first, end) are set.
  bool all_set(std::uint32_t first, std::uint32_t end) const noexcept {
    if (kind_ != Kind::kMixed) return kind_ == Kind::kAllSet;
    return bit(first) && first + run(first, end) >= end;
  }

 private:
  // A bit is set after its sector's payload is in place, and seen no earlier.
  std::uint64_t word(std::uint32_t number) const noexcept {
    return words_[number].load(std::memory_order_acquire);
  }

  const Word* words_;
  Kind kind_;
};

/// Thread rule: get() from any number of threads; two that load the same bitmap at once both read it and one
/// copy is kept. Changes one at a time, beside them.
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
      const Word* words = leaf[block & leaf_mask_].load(std::memory_order_acquire);
      if (words != nullptr) [[likely]]
        return SectorBitmap(kind_of(words), words);
    }
    return load(block, at, used_sectors);
  }

  std::uint64_t loaded_bytes() const noexcept { return loaded_bytes_.load(std::memory_order_relaxed); }
  std::uint32_t stored_bytes() const noexcept { return stored_bytes_; }

  // Changes, in memory alone.
  /// Makes set_all(block) possible; with `bits`, set(block, …) too: a bitmap that was never loaded counts as
  /// all clear.
  Status prepare(std::uint64_t block, bool bits);
  /// Sets the bits of [first, first + count). True when the bitmap was as in the file until now. REQUIRES:
  /// prepare(block, true).
  bool set(std::uint64_t block, std::uint32_t first, std::uint32_t count) noexcept;
  /// REQUIRES: prepare(block, …).
  void set_all(std::uint64_t block) noexcept;
  /// The block is no longer where its bitmap was read. Readers may go on with the bitmap that they have.
  void forget(std::uint64_t block) noexcept;
  /// The bitmap as it is stored in the file; from now on it counts as being there. REQUIRES: prepare(block,
  /// …).
  void copy_stored(std::uint64_t block, std::span<std::byte> into) noexcept;

 private:
  using Word = SectorBitmap::Word;
  using Leaf = std::atomic<Word*>;  // the first of an array of leaf_mask_ + 1

  static Word kClear;  // their addresses stand for whole bitmaps; never written
  static Word kSet;
  static bool is_shared(const Word* words) noexcept { return words == &kSet || words == &kClear; }
  static SectorBitmap::Kind kind_of(const Word* words) noexcept {
    if (words == &kSet) return SectorBitmap::Kind::kAllSet;
    return words == &kClear ? SectorBitmap::Kind::kAllClear : SectorBitmap::Kind::kMixed;
  }

  Result<SectorBitmap> load(std::uint64_t block, FileOffset at, std::uint32_t used_sectors);
  Result<std::unique_ptr<Word[]>> read_words(FileOffset at) const;
  Result<Leaf*> leaf_of(std::uint64_t block);
  Status charge(std::uint64_t bytes);
  Leaf& slot_of(std::uint64_t block) const noexcept {
    return directory_[block >> leaf_shift_].load(std::memory_order_acquire)[block & leaf_mask_];
  }
  void replace(Leaf& slot, Word* words) noexcept;
  // Behind the words of a bitmap of its own: whether it differs from the file, and the next retired one.
  std::uint32_t dirty_word() const noexcept { return word_count_; }
  std::uint32_t link_word() const noexcept { return word_count_ + 1; }
  std::uint64_t own_bytes() const noexcept { return (word_count_ + 2) * sizeof(Word); }

  File& file_;
  const std::uint32_t word_count_;
  const std::uint32_t stored_bytes_;
  const std::uint64_t most_bytes_;
  const std::uint32_t leaf_shift_;
  const std::uint64_t leaf_mask_;
  mutable std::vector<std::atomic<Leaf*>> directory_;
  Word* retired_ = nullptr;  // replaced while readers may hold them: kept until the end
  std::atomic<std::uint64_t> loaded_bytes_{0};
};

}  // namespace vdisk::vhd
