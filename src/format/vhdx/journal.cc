// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/journal.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/random.h"

namespace vdisk::vhdx {

namespace {

std::uint64_t descriptor_sectors(std::uint64_t pages) noexcept {
  return divide_up(sizeof(LogEntryHeaderLayout) + pages * kLogDescriptorBytes, kLogSectorBytes);
}

template <std::size_t kLength>
std::array<std::byte, kLength> bytes_at(const PagedTable::Page& page, std::size_t at) noexcept {
  std::array<std::byte, kLength> bytes;
  std::memcpy(bytes.data(), page.bytes + at, kLength);
  return bytes;
}

LogDataDescriptorLayout descriptor_of(const LoggedPage& page, std::uint64_t sequence) noexcept {
  return {
      .signature = kDataDescriptorSignature,
      .trailing_bytes = bytes_at<4>(page.page, kLogSectorBytes - 4),
      .leading_bytes = bytes_at<8>(page.page, 0),
      .file_offset = page.file_offset,
      .sequence_number = sequence,
  };
}

LogDataSectorLayout sector_of(const LoggedPage& page, std::uint64_t sequence) noexcept {
  return {
      .signature = kDataSectorSignature,
      .sequence_high = static_cast<std::uint32_t>(sequence >> 32),
      .data = bytes_at<4084>(page.page, 8),
      .sequence_low = static_cast<std::uint32_t>(sequence),
  };
}

}  // namespace

Status reserve_range(File& file, std::uint64_t at, std::uint64_t length) {
  const std::uint64_t end = at + length;
  while (at < end) {
    const std::uint64_t hole = VDISK_TRY(file.next_hole(FileOffset{at})).bytes;
    if (hole >= end) return {};
    // Never a byte that is there: a crash may come before the log has it.
    const std::uint64_t data = VDISK_TRY(file.next_data(FileOffset{hole})).bytes;
    const std::uint64_t stop = data > hole ? std::min(data, end) : end;
    if (data <= hole) return {};  // The storage does not know its holes.
    VDISK_TRY(file.zero(FileOffset{hole}, stop - hole));
    at = stop;
  }
  return {};
}

Status Journal::reserve() {
  const Header& header = headers_.current;
  // What lies there belongs to sessions of the past: LogGuid is zero.
  VDISK_TRY_CONTEXT(reserve_range(file_, header.log_offset, header.log_length), "reserving the log's space");
  return {};
}

Status Journal::begin() {
  guid_ = random_guid();
  sequence_ = (random_u64() >> 2) + 1;  // Windows begins anywhere, too (formats.md 2.7).
  file_bytes_ = durable_bytes_ = VDISK_TRY(file_.size());
  head_ = flushed_ = applied_ = in_place_ = tail_ = durable_tail_ = 0;
  // While LogGuid is zero on disk nobody looks at the log; once it names this entry, the entry is there.
  VDISK_TRY_CONTEXT(write_entry({}), "writing the log's first entry");
  VDISK_TRY_CONTEXT(flush(), "flushing the log's first entry");
  VDISK_TRY(apply());
  in_place_ = applied_;
  Header next = headers_.current;
  next.file_write_guid = random_guid();
  next.data_write_guid = random_guid();
  next.log_guid = guid_;
  VDISK_TRY_CONTEXT(write_header_twice(file_, headers_, next), "beginning to write");
  return {};
}

std::uint64_t Journal::pages_in(std::uint64_t sectors) noexcept {
  // The most pages p with p + descriptor_sectors(p) <= sectors.
  std::uint64_t pages = sectors;
  while (pages != 0 && pages + descriptor_sectors(pages) > sectors) --pages;
  return pages;
}

Status Journal::write_ring(std::uint64_t at, std::span<const std::byte> bytes) {
  const Header& header = headers_.current;
  const std::uint64_t from = at % ring_sectors() * kLogSectorBytes;
  const std::uint64_t first = std::min<std::uint64_t>(bytes.size(), header.log_length - from);
  VDISK_TRY(file_.write(FileOffset{header.log_offset + from}, bytes.first(first)));
  if (first == bytes.size()) return {};
  return file_.write(FileOffset{header.log_offset}, bytes.subspan(first));
}

Status Journal::write_entry(std::span<const LoggedPage> pages) {
  const std::uint64_t sectors = descriptor_sectors(pages.size()) + pages.size();
  VDISK_ASSERT(sectors <= free_sectors());
  tail_ = in_place_;  // The oldest entry whose pages may not be in place; this one, if all are.
  buffer_.assign(sectors * kLogSectorBytes, std::byte{0});
  const std::span<std::byte> bytes(buffer_);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    store(bytes.subspan(sizeof(LogEntryHeaderLayout) + i * kLogDescriptorBytes),
          descriptor_of(pages[i], sequence_));
    store(bytes.subspan((descriptor_sectors(pages.size()) + i) * kLogSectorBytes),
          sector_of(pages[i], sequence_));
  }
  const LogEntryHeaderLayout header = {
      .signature = kLogEntrySignature,
      .checksum = 0u,
      .entry_length = static_cast<std::uint32_t>(buffer_.size()),
      .tail = static_cast<std::uint32_t>(tail_ % ring_sectors() * kLogSectorBytes),
      .sequence_number = sequence_,
      .descriptor_count = static_cast<std::uint32_t>(pages.size()),
      .reserved = 0u,
      .log_guid = guid_,
      .flushed_file_offset = round_down(durable_bytes_, kMiB),
      .last_file_offset = round_up(file_bytes_, kMiB),
  };
  store(bytes, header);
  const Le<std::uint32_t> checksum = crc32c(buffer_);
  store(bytes.subspan(kLogEntryChecksumAt), checksum);
  VDISK_TRY(write_ring(head_, buffer_));
  head_ += sectors;
  ++sequence_;
  to_apply_.push_back(pages);
  return {};
}

Status Journal::flush() {
  const std::uint64_t applied = applied_;
  const std::uint64_t bytes = file_bytes_;
  VDISK_TRY(file_.flush());
  flushed_ = head_;
  in_place_ = applied;
  durable_tail_ = tail_;
  durable_bytes_ = std::max(durable_bytes_, bytes);
  return {};
}

Status Journal::apply() {
  VDISK_ASSERT(flushed_ == head_);
  for (const auto pages : to_apply_) {
    for (const LoggedPage& page : pages) {
      VDISK_TRY_CONTEXT(file_.write(FileOffset{page.file_offset}, page.page.bytes), "applying the log");
    }
  }
  to_apply_.clear();
  applied_ = head_;
  return {};
}

Status Journal::make_room() {
  if (flushed_ != head_) VDISK_TRY(flush());
  VDISK_TRY(apply());
  VDISK_TRY(flush());
  // The sectors are not free before an entry that no longer needs them is durable; one sector is always kept
  // for it.
  VDISK_TRY(write_entry({}));
  VDISK_TRY(flush());
  return apply();
}

Status Journal::commit(std::span<const LoggedPage> pages, std::uint64_t last_file_bytes) {
  file_bytes_ = std::max(file_bytes_, last_file_bytes);
  const std::uint64_t most = pages_in(std::min<std::uint64_t>(ring_sectors() - 2, kMiB));
  while (!pages.empty()) {
    const std::uint64_t wanted = std::min<std::uint64_t>(pages.size(), most);
    if (pages_in(free_sectors() - 1) < wanted) VDISK_TRY_CONTEXT(make_room(), "freeing the log");
    VDISK_TRY_CONTEXT(write_entry(pages.first(wanted)), "writing the log");
    pages = pages.subspan(wanted);
  }
  VDISK_TRY_CONTEXT(flush(), "flushing the log");
  return apply();
}

Status Journal::finish() {
  if (in_place_ != head_) VDISK_TRY_CONTEXT(flush(), "flushing what the log held");
  VDISK_ASSERT(in_place_ == head_);
  Header next = headers_.current;
  next.log_guid = Guid{};
  VDISK_TRY_CONTEXT(write_header_twice(file_, headers_, next), "closing the log");
  return {};
}

}  // namespace vdisk::vhdx
