// SPDX-License-Identifier: Apache-2.0
#include "testing/cow_file.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/fault.h"
#include "io/faults.h"

namespace vdisk::testing {

CowFile::CowFile(std::shared_ptr<File> base) : base_(std::move(base)) {
  auto size = base_->size();
  VDISK_ASSERT(size.has_value());
  base_size_ = size_ = *size;
}

std::uint64_t CowFile::mask_end(std::uint64_t at) const {
  auto mask = masks_.upper_bound(at);
  if (mask == masks_.begin()) return at;
  --mask;
  return std::max(at, mask->second);
}

Status CowFile::read_below(std::uint64_t at, std::span<std::byte> into) {
  const std::uint64_t end = at + into.size();
  const auto part = [&](std::uint64_t from, std::uint64_t to) { return into.subspan(from - at, to - from); };
  std::uint64_t from = at;
  auto mask = masks_.upper_bound(at);
  if (mask != masks_.begin()) --mask;
  for (; mask != masks_.end() && mask->first < end; ++mask) {
    if (mask->second <= from) continue;
    if (mask->first > from) {
      static_cast<void>(VDISK_TRY(read_zero_padded(*base_, FileOffset{from}, part(from, mask->first))));
      from = mask->first;
    }
    const std::uint64_t to = std::min(end, mask->second);
    std::memset(part(from, to).data(), 0, to - from);
    from = to;
  }
  if (from < end) static_cast<void>(VDISK_TRY(read_zero_padded(*base_, FileOffset{from}, part(from, end))));
  return {};
}

Result<CowFile::Page*> CowFile::own_page(std::uint64_t number) {
  const auto found = pages_.find(number);
  if (found != pages_.end()) return &found->second;
  Page page;
  VDISK_TRY(read_below(number * kPageBytes, page));
  return &pages_.emplace(number, page).first->second;
}

Result<std::size_t> CowFile::read(FileOffset at, std::span<std::byte> into) {
  const MutexLock lock(mutex_);
  if (at.bytes >= size_) return std::size_t{0};
  const std::size_t length = std::min<std::uint64_t>(into.size(), size_ - at.bytes);
  const std::uint64_t end = at.bytes + length;
  VDISK_TRY(read_below(at.bytes, into.first(length)));
  for (auto page = pages_.lower_bound(at.bytes / kPageBytes); page != pages_.end(); ++page) {
    const std::uint64_t start = page->first * kPageBytes;
    if (start >= end) break;
    const std::uint64_t from = std::max(at.bytes, start);
    const std::uint64_t to = std::min(end, start + kPageBytes);
    std::memcpy(into.data() + (from - at.bytes), page->second.data() + (from - start), to - from);
  }
  return length;
}

Status CowFile::write(FileOffset at, std::span<const std::byte> from) {
  const auto end = checked_add<std::uint64_t>(at.bytes, from.size());
  if (!end)
    return fail(io::faults::kTooLarge, "{}: write of {} bytes at {:#x}", name(), from.size(), at.bytes);
  const MutexLock lock(mutex_);
  for (std::size_t done = 0; done < from.size();) {
    const std::uint64_t position = at.bytes + done;
    const std::uint64_t in_page = position % kPageBytes;
    const std::size_t piece = std::min<std::uint64_t>(from.size() - done, kPageBytes - in_page);
    // What a whole page replaces need not be read.
    Page& page =
        piece == kPageBytes ? pages_[position / kPageBytes] : *VDISK_TRY(own_page(position / kPageBytes));
    std::memcpy(page.data() + in_page, from.data() + done, piece);
    done += piece;
  }
  if (!from.empty()) size_ = std::max(size_, *end);
  return {};
}

Result<std::uint64_t> CowFile::size() {
  const MutexLock lock(mutex_);
  return size_;
}

Status CowFile::clear_part(std::uint64_t at, std::uint64_t end) {
  if (at == end) return {};
  Page& page = *VDISK_TRY(own_page(at / kPageBytes));
  const std::uint64_t start = round_down(at, kPageBytes);
  std::ranges::fill(std::span(page).subspan(at - start, end - at), std::byte{0});
  return {};
}

Status CowFile::clear(std::uint64_t at, std::uint64_t end) {
  std::uint64_t first = round_up(at, kPageBytes);
  std::uint64_t last = round_down(end, kPageBytes);
  if (first > last) return clear_part(at, end);
  VDISK_TRY(clear_part(at, first));
  VDISK_TRY(clear_part(last, end));
  if (first == last) return {};
  pages_.erase(pages_.lower_bound(first / kPageBytes), pages_.lower_bound(last / kPageBytes));
  // Joins the masks that the new one touches.
  auto mask = masks_.upper_bound(first);
  if (mask != masks_.begin() && std::prev(mask)->second >= first) --mask;
  while (mask != masks_.end() && mask->first <= last) {
    first = std::min(first, mask->first);
    last = std::max(last, mask->second);
    mask = masks_.erase(mask);
  }
  masks_.emplace(first, last);
  return {};
}

Status CowFile::resize(std::uint64_t size_bytes) {
  const MutexLock lock(mutex_);
  if (size_bytes < size_) VDISK_TRY(clear(size_bytes, round_up(size_, kPageBytes)));
  size_ = size_bytes;
  return {};
}

Status CowFile::punch(FileOffset at, std::uint64_t length) {
  const MutexLock lock(mutex_);
  if (at.bytes >= size_) return {};
  return clear(at.bytes, at.bytes + std::min(length, size_ - at.bytes));
}

Result<FileOffset> CowFile::next_data(FileOffset from) {
  const MutexLock lock(mutex_);
  std::uint64_t best = size_;
  const auto page = pages_.lower_bound(from.bytes / kPageBytes);
  if (page != pages_.end()) best = std::min(best, std::max(from.bytes, page->first * kPageBytes));
  for (std::uint64_t at = from.bytes; at < base_size_;) {
    at = VDISK_TRY(base_->next_data(FileOffset{at})).bytes;
    if (at >= base_size_) break;
    const std::uint64_t shown = mask_end(at);
    if (shown == at) return FileOffset{std::min(best, at)};
    at = shown;
  }
  return FileOffset{best};
}

Result<FileOffset> CowFile::next_hole(FileOffset from) {
  const MutexLock lock(mutex_);
  std::uint64_t at = from.bytes;
  while (at < size_) {
    if (pages_.contains(at / kPageBytes)) {
      at = round_down(at, kPageBytes) + kPageBytes;
      continue;
    }
    if (at >= base_size_ || mask_end(at) != at) break;
    std::uint64_t hole = VDISK_TRY(base_->next_hole(FileOffset{at})).bytes;
    if (hole == at) break;
    const auto mask = masks_.upper_bound(at);
    if (mask != masks_.end()) hole = std::min(hole, mask->first);
    at = hole;
  }
  return FileOffset{std::min(at, size_)};
}

}  // namespace vdisk::testing
