// SPDX-License-Identifier: Apache-2.0
#include "io/memory_file.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/checked.h"
#include "base/fault.h"
#include "io/faults.h"

namespace vdisk {

namespace {
std::uint64_t next_serial() noexcept {
  static std::atomic<std::uint64_t> serial{1};
  return serial.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

MemoryFile::MemoryFile(std::string name, bool writable)
    : name_(std::move(name)), writable_(writable), serial_(next_serial()) {}

MemoryFile::MemoryFile(std::span<const std::byte> bytes, std::string name, bool writable)
    : name_(std::move(name)), writable_(writable), serial_(next_serial()) {
  for (std::uint64_t at = 0; at < bytes.size(); at += kPageBytes) {
    const auto piece = bytes.subspan(at, std::min<std::uint64_t>(kPageBytes, bytes.size() - at));
    Page page(kPageBytes);
    std::ranges::copy(piece, page.begin());
    pages_.emplace(at / kPageBytes, std::move(page));
  }
  size_ = bytes.size();
}

Result<std::size_t> MemoryFile::read(FileOffset at, std::span<std::byte> into) {
  const MutexLock lock(mutex_);
  if (at.bytes >= size_) return std::size_t{0};
  const std::size_t length = std::min<std::uint64_t>(into.size(), size_ - at.bytes);
  for (std::size_t done = 0; done < length;) {
    const std::uint64_t position = at.bytes + done;
    const std::uint64_t in_page = position % kPageBytes;
    const std::size_t piece = std::min<std::uint64_t>(length - done, kPageBytes - in_page);
    const auto page = pages_.find(position / kPageBytes);
    if (page == pages_.end()) {
      std::memset(into.data() + done, 0, piece);
    } else {
      std::memcpy(into.data() + done, page->second.data() + in_page, piece);
    }
    done += piece;
  }
  return length;
}

Status MemoryFile::write(FileOffset at, std::span<const std::byte> from) {
  if (!writable_) return fail(io::faults::kReadOnly, "{}: opened read-only", name_);
  const auto end = checked_add<std::uint64_t>(at.bytes, from.size());
  if (!end) return fail(io::faults::kTooLarge, "{}: write of {} bytes at {:#x}", name_, from.size(), at.bytes);
  const MutexLock lock(mutex_);
  for (std::size_t done = 0; done < from.size();) {
    const std::uint64_t position = at.bytes + done;
    const std::uint64_t in_page = position % kPageBytes;
    const std::size_t piece = std::min<std::uint64_t>(from.size() - done, kPageBytes - in_page);
    Page& page = pages_[position / kPageBytes];
    page.resize(kPageBytes);
    std::memcpy(page.data() + in_page, from.data() + done, piece);
    done += piece;
  }
  size_ = std::max(size_, *end);
  return {};
}

Result<std::uint64_t> MemoryFile::size() {
  const MutexLock lock(mutex_);
  return size_;
}

void MemoryFile::clear_range(std::uint64_t at, std::uint64_t end) {
  for (auto page = pages_.lower_bound(at / kPageBytes); page != pages_.end() && page->first * kPageBytes < end;) {
    const std::uint64_t start = page->first * kPageBytes;
    if (at <= start && start + kPageBytes <= end) {
      page = pages_.erase(page);
      continue;
    }
    const std::uint64_t from = std::max(at, start) - start;
    const std::uint64_t to = std::min(end, start + kPageBytes) - start;
    std::fill(page->second.begin() + static_cast<std::ptrdiff_t>(from),
              page->second.begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
    ++page;
  }
}

Status MemoryFile::resize(std::uint64_t size_bytes) {
  if (!writable_) return fail(io::faults::kReadOnly, "{}: opened read-only", name_);
  const MutexLock lock(mutex_);
  if (size_bytes < size_) clear_range(size_bytes, round_up(size_, kPageBytes));
  size_ = size_bytes;
  return {};
}

Status MemoryFile::zero(FileOffset at, std::uint64_t length) { return punch(at, length); }

Status MemoryFile::punch(FileOffset at, std::uint64_t length) {
  if (!writable_) return fail(io::faults::kReadOnly, "{}: opened read-only", name_);
  const MutexLock lock(mutex_);
  if (at.bytes < size_) clear_range(at.bytes, at.bytes + std::min(length, size_ - at.bytes));
  return {};
}

Result<FileOffset> MemoryFile::next_data(FileOffset from) {
  const MutexLock lock(mutex_);
  const auto page = pages_.lower_bound(from.bytes / kPageBytes);
  if (page == pages_.end() || from.bytes >= size_) return FileOffset{size_};
  return FileOffset{std::min(size_, std::max(from.bytes, page->first * kPageBytes))};
}

Result<FileOffset> MemoryFile::next_hole(FileOffset from) {
  const MutexLock lock(mutex_);
  std::uint64_t at = from.bytes;
  while (at < size_ && pages_.contains(at / kPageBytes)) at = round_down(at, kPageBytes) + kPageBytes;
  return FileOffset{std::min(at, size_)};
}

Result<FileIdentity> MemoryFile::identity() { return FileIdentity{.device = 0, .inode = serial_}; }

}  // namespace vdisk
