// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/block_bitmaps.h"

#include <bit>

#include "base/checked.h"
#include "base/endian.h"

namespace vdisk::vhd {

namespace {

/// Blocks per leaf: 512, or the square root of the block count where that is more, so that a hostile image of
/// 2^32 blocks of 512 bytes costs 512 KiB of directory and not 64 MiB.
std::uint32_t leaf_shift_for(std::uint64_t block_count) noexcept {
  const auto bits = static_cast<std::uint32_t>(std::bit_width(block_count));
  return std::max<std::uint32_t>(9, (bits + 1) / 2);
}

/// The first `used` bits from the top of word number `word`; none past them.
std::uint64_t used_mask(std::uint32_t word, std::uint32_t used) noexcept {
  if (used >= (word + 1) * 64) return ~std::uint64_t{0};
  const std::uint32_t bits = used > word * 64 ? used - word * 64 : 0;
  return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits);
}

}  // namespace

constinit SectorBitmap::Word BlockBitmaps::kClear{0};
constinit SectorBitmap::Word BlockBitmaps::kSet{~std::uint64_t{0}};

BlockBitmaps::BlockBitmaps(File& file, std::uint64_t block_count, std::uint32_t sectors,
                           std::uint64_t most_bytes)
    : file_(file),
      word_count_(static_cast<std::uint32_t>(divide_up(sectors, 64))),
      stored_bytes_(static_cast<std::uint32_t>(divide_up(sectors, 8))),
      most_bytes_(most_bytes),
      leaf_shift_(leaf_shift_for(block_count)),
      leaf_mask_((std::uint64_t{1} << leaf_shift_) - 1),
      directory_((block_count >> leaf_shift_) + 1) {}

BlockBitmaps::~BlockBitmaps() {
  for (auto& slot : directory_) {
    Leaf* leaf = slot.load(std::memory_order_relaxed);
    if (leaf == nullptr) continue;
    for (std::uint64_t i = 0; i <= leaf_mask_; ++i) {
      const Word* words = leaf[i].load(std::memory_order_relaxed);
      if (!is_shared(words)) delete[] words;
    }
    delete[] leaf;
  }
  while (retired_ != nullptr) {
    Word* next = std::bit_cast<Word*>(retired_[link_word()].load(std::memory_order_relaxed));
    delete[] retired_;
    retired_ = next;
  }
}

Status BlockBitmaps::charge(std::uint64_t bytes) {
  if (loaded_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= most_bytes_) return {};
  loaded_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  return fail(faults::kMemory,
              "{}: sector bitmaps would exceed the limit of {} cached bytes; raise Limits::table_bytes",
              file_.name(), most_bytes_);
}

Result<BlockBitmaps::Leaf*> BlockBitmaps::leaf_of(std::uint64_t block) {
  auto& slot = directory_[block >> leaf_shift_];
  Leaf* leaf = slot.load(std::memory_order_acquire);
  if (leaf != nullptr) return leaf;
  const std::uint64_t bytes = (leaf_mask_ + 1) * sizeof(Leaf);
  VDISK_TRY(charge(bytes));
  auto fresh = std::make_unique<Leaf[]>(leaf_mask_ + 1);
  if (slot.compare_exchange_strong(leaf, fresh.get(), std::memory_order_acq_rel)) return fresh.release();
  loaded_bytes_.fetch_sub(bytes, std::memory_order_relaxed);  // Another thread was first.
  return leaf;
}

Result<std::unique_ptr<BlockBitmaps::Word[]>> BlockBitmaps::read_words(FileOffset at) const {
  const auto stored = std::make_unique<Be<std::uint64_t>[]>(word_count_);
  const auto bytes = std::as_writable_bytes(std::span(stored.get(), word_count_));
  VDISK_TRY(read_exactly(file_, at, bytes.first(stored_bytes_)));
  auto words = std::make_unique<Word[]>(word_count_ + 2);
  for (std::uint32_t i = 0; i < word_count_; ++i) words[i].store(stored[i], std::memory_order_relaxed);
  return words;
}

Result<SectorBitmap> BlockBitmaps::load(std::uint64_t block, FileOffset at, std::uint32_t used_sectors) {
  auto fresh = VDISK_TRY_CONTEXT(read_words(at), "sector bitmap of block {}", block);
  bool all_set = true;
  bool all_clear = true;
  for (std::uint32_t i = 0; i < word_count_; ++i) {
    const std::uint64_t used = used_mask(i, used_sectors);
    const std::uint64_t word = fresh[i].load(std::memory_order_relaxed);
    all_set = all_set && (word & used) == used;
    all_clear = all_clear && (word & used) == 0;
  }
  Word* words = all_set ? &kSet : all_clear ? &kClear : fresh.get();
  const std::uint64_t bytes = words == fresh.get() ? own_bytes() : 0;

  Leaf* leaf = VDISK_TRY(leaf_of(block));
  VDISK_TRY(charge(bytes));
  Word* kept = nullptr;
  if (leaf[block & leaf_mask_].compare_exchange_strong(kept, words, std::memory_order_acq_rel)) {
    if (bytes != 0) static_cast<void>(fresh.release());
    return SectorBitmap(kind_of(words), words);
  }
  loaded_bytes_.fetch_sub(bytes, std::memory_order_relaxed);  // Another thread was first.
  return SectorBitmap(kind_of(kept), kept);
}

Status BlockBitmaps::prepare(std::uint64_t block, bool bits) {
  Leaf* leaf = VDISK_TRY(leaf_of(block));
  Leaf& slot = leaf[block & leaf_mask_];
  Word* now = slot.load(std::memory_order_acquire);
  if (!bits || (now != nullptr && now != &kClear)) return {};
  VDISK_TRY(charge(own_bytes()));
  auto fresh = std::make_unique<Word[]>(word_count_ + 2);
  // Only a reader can come between, and it puts what is in the file into an empty slot.
  if (slot.compare_exchange_strong(now, fresh.get(), std::memory_order_acq_rel)) {
    static_cast<void>(fresh.release());
    return {};
  }
  loaded_bytes_.fetch_sub(own_bytes(), std::memory_order_relaxed);
  return prepare(block, bits);
}

bool BlockBitmaps::set(std::uint64_t block, std::uint32_t first, std::uint32_t count) noexcept {
  Word* words = slot_of(block).load(std::memory_order_acquire);
  if (words == &kSet) return false;
  const std::uint32_t end = first + count;
  for (std::uint32_t at = first; at < end;) {
    const std::uint32_t next = std::min(end, (at / 64 + 1) * 64);
    const std::uint64_t from = ~std::uint64_t{0} >> at % 64;
    const std::uint64_t to = next % 64 == 0 ? ~std::uint64_t{0} : ~(~std::uint64_t{0} >> next % 64);
    words[at / 64].fetch_or(from & to, std::memory_order_release);
    at = next;
  }
  return words[dirty_word()].exchange(1, std::memory_order_relaxed) == 0;
}

void BlockBitmaps::replace(Leaf& slot, Word* words) noexcept {
  Word* before = slot.exchange(words, std::memory_order_acq_rel);
  if (before == nullptr || is_shared(before)) return;
  before[link_word()].store(std::bit_cast<std::uint64_t>(retired_), std::memory_order_relaxed);
  retired_ = before;
}

void BlockBitmaps::set_all(std::uint64_t block) noexcept { replace(slot_of(block), &kSet); }

void BlockBitmaps::forget(std::uint64_t block) noexcept {
  if (directory_[block >> leaf_shift_].load(std::memory_order_acquire) == nullptr) return;
  replace(slot_of(block), nullptr);
}

void BlockBitmaps::copy_stored(std::uint64_t block, std::span<std::byte> into) noexcept {
  Word* words = slot_of(block).load(std::memory_order_acquire);
  if (words == &kSet) {
    std::ranges::fill(into, std::byte{0xFF});
    return;
  }
  std::ranges::fill(into, std::byte{0});
  words[dirty_word()].store(0, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < word_count_; ++i) {
    const Be<std::uint64_t> stored = words[i].load(std::memory_order_acquire);
    const auto bytes = bytes_of(stored);
    const std::size_t at = i * sizeof stored;
    std::ranges::copy(bytes.first(std::min(bytes.size(), stored_bytes_ - at)), into.begin() + at);
  }
}

}  // namespace vdisk::vhd
