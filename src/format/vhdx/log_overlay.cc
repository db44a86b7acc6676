// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/log_overlay.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "io/faults.h"

namespace vdisk::vhdx {

LogOverlay::LogOverlay(std::unique_ptr<File> below, LogContent content)
    : below_(std::move(below)), below_size_(content.size_before), size_(content.size_after) {
  page_at_.reserve(content.pages.size());
  pages_.reserve(content.pages.size());
  for (auto& [at, page] : content.pages) {
    page_at_.push_back(at);
    pages_.push_back(std::move(page));
  }
  for (const auto& [at, end] : content.zeros) zeros_.push_back({at, end});
}

/// The first page, or range of zeros, that ends behind `at`.
std::size_t LogOverlay::first_page_after(std::uint64_t at) const noexcept {
  const auto found =
      std::ranges::upper_bound(page_at_, at, {}, [](std::uint64_t page) { return page + kLogSectorBytes; });
  return static_cast<std::size_t>(found - page_at_.begin());
}
std::size_t LogOverlay::first_zeros_after(std::uint64_t at) const noexcept {
  const auto found = std::ranges::upper_bound(zeros_, at, {}, &Range::end);
  return static_cast<std::size_t>(found - zeros_.begin());
}

bool LogOverlay::touches(std::uint64_t at, std::uint64_t end) const noexcept {
  const std::size_t page = first_page_after(at);
  if (page < page_at_.size() && page_at_[page] < end) return true;
  const std::size_t zeros = first_zeros_after(at);
  return zeros < zeros_.size() && zeros_[zeros].at < end;
}

Result<std::size_t> LogOverlay::read(FileOffset at, std::span<std::byte> into) {
  if (at.bytes >= size_) return std::size_t{0};
  const std::size_t length = std::min<std::uint64_t>(into.size(), size_ - at.bytes);
  const std::uint64_t end = at.bytes + length;
  into = into.first(length);
  if (end <= below_size_ && !touches(at.bytes, end)) return below_->read(at, into);

  static_cast<void>(VDISK_TRY(read_zero_padded(*below_, at, into)));
  for (std::size_t i = first_zeros_after(at.bytes); i < zeros_.size() && zeros_[i].at < end; ++i) {
    const std::uint64_t from = std::max(zeros_[i].at, at.bytes);
    const std::uint64_t to = std::min(zeros_[i].end, end);
    std::ranges::fill(into.subspan(from - at.bytes, to - from), std::byte{0});
  }
  for (std::size_t i = first_page_after(at.bytes); i < page_at_.size() && page_at_[i] < end; ++i) {
    const std::uint64_t from = std::max(page_at_[i], at.bytes);
    const std::uint64_t to = std::min(page_at_[i] + kLogSectorBytes, end);
    std::ranges::copy(std::span(*pages_[i]).subspan(from - page_at_[i], to - from),
                      into.begin() + static_cast<std::ptrdiff_t>(from - at.bytes));
  }
  return length;
}

Result<FileOffset> LogOverlay::next_data(FileOffset from) {
  std::uint64_t best = size_;
  const std::size_t page = first_page_after(from.bytes);
  if (page < page_at_.size()) best = std::min(best, std::max(from.bytes, page_at_[page]));
  for (std::uint64_t at = from.bytes; at < std::min(best, below_size_);) {
    at = VDISK_TRY(below_->next_data(FileOffset{at})).bytes;
    if (at >= below_size_) break;
    const std::size_t zeros = first_zeros_after(at);
    if (zeros == zeros_.size() || zeros_[zeros].at > at) {
      best = std::min(best, at);
      break;
    }
    at = zeros_[zeros].end;
  }
  return FileOffset{best};
}

Result<FileOffset> LogOverlay::next_hole(FileOffset from) {
  std::uint64_t at = from.bytes;
  while (at < size_) {
    const std::size_t page = first_page_after(at);
    if (page < page_at_.size() && page_at_[page] <= at) {
      at = page_at_[page] + kLogSectorBytes;
      continue;
    }
    const std::size_t zeros = first_zeros_after(at);
    if (at >= below_size_ || (zeros < zeros_.size() && zeros_[zeros].at <= at)) break;
    std::uint64_t hole = VDISK_TRY(below_->next_hole(FileOffset{at})).bytes;
    if (hole <= at) break;
    if (zeros < zeros_.size()) hole = std::min(hole, zeros_[zeros].at);
    at = hole;
  }
  return FileOffset{std::min(at, size_)};
}

std::unexpected<Error> LogOverlay::refuse(const char* what) const {
  return fail(io::faults::kReadOnly, "{}: {} through a read-only view of the file's log", name(), what);
}
Status LogOverlay::write(FileOffset, std::span<const std::byte>) { return refuse("a write"); }
Status LogOverlay::resize(std::uint64_t) { return refuse("a new size"); }
Status LogOverlay::zero(FileOffset, std::uint64_t) { return refuse("zeroing"); }
Status LogOverlay::punch(FileOffset, std::uint64_t) { return refuse("punching"); }

Result<std::unique_ptr<File>> overlay_log(std::unique_ptr<File> below, const LogRegion& region,
                                          const ImageOpen& open) {
  LogContent content;
  VDISK_TRY(read_log(*below, region, open.limits, content));
  if (open.trace) {
    open.trace(TraceLevel::kNote,
               fmt::format("{}: {} of the log shown as replayed, the file is unchanged", below->name(),
                           counted(content.scan.active.size(), "entry", "entries")));
  }
  return std::make_unique<LogOverlay>(std::move(below), std::move(content));
}

}  // namespace vdisk::vhdx
