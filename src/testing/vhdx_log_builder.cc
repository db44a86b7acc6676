// SPDX-License-Identifier: Apache-2.0
#include "testing/vhdx_log_builder.h"

#include <algorithm>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "format/vhdx/layout.h"

namespace vdisk::testing {

using namespace vhdx;  // the layout structs

std::vector<std::byte> pattern_page(unsigned value) {
  std::vector<std::byte> page(kLogSectorBytes);
  for (std::size_t i = 0; i < page.size(); ++i)
    page[i] = static_cast<std::byte>(value * 37 + i * 11 + i / 256);
  return page;
}

LogWrite LogWrite::pattern(std::uint64_t file_offset, unsigned value) {
  return {.file_offset = file_offset, .page = pattern_page(value)};
}
LogWrite LogWrite::zeros(std::uint64_t file_offset, std::uint64_t length) {
  return {.file_offset = file_offset, .zero_length = length};
}

VhdxLogBuilder::VhdxLogBuilder(std::uint64_t length) : bytes_(length) {
  for (std::size_t i = 0; i < guid_.bytes.size(); ++i) guid_.bytes[i] = static_cast<std::uint8_t>(0xA0 + i);
}

namespace {

void put_data_sector(std::span<std::byte> sector, std::span<const std::byte> page, std::uint64_t sequence) {
  std::ranges::copy(page, sector.begin());
  store(sector, kDataSectorSignature);
  store(sector.subspan(4), Le<std::uint32_t>(static_cast<std::uint32_t>(sequence >> 32)));
  store(sector.subspan(4092), Le<std::uint32_t>(static_cast<std::uint32_t>(sequence)));
}

void put_descriptor(std::span<std::byte> at, const LogWrite& write, std::uint64_t sequence) {
  if (write.page.empty()) {
    store(at, LogZeroDescriptorLayout{.signature = kZeroDescriptorSignature,
                                      .reserved = 0u,
                                      .zero_length = write.zero_length,
                                      .file_offset = write.file_offset,
                                      .sequence_number = sequence});
    return;
  }
  LogDataDescriptorLayout data = {.signature = kDataDescriptorSignature,
                                  .trailing_bytes = {},
                                  .leading_bytes = {},
                                  .file_offset = write.file_offset,
                                  .sequence_number = sequence};
  std::copy_n(write.page.begin(), data.leading_bytes.size(), data.leading_bytes.begin());
  std::copy_n(write.page.end() - 4, 4, data.trailing_bytes.begin());
  store(at, data);
}

}  // namespace

std::uint64_t VhdxLogBuilder::add(const LogEntrySpec& spec) {
  const std::uint64_t head = divide_up(64 + 32 * spec.writes.size(), kLogSectorBytes);
  const auto pages = static_cast<std::uint64_t>(
      std::ranges::count_if(spec.writes, [](const LogWrite& write) { return !write.page.empty(); }));
  std::vector<std::byte> entry((head + pages + spec.extra_sectors) * kLogSectorBytes);
  VDISK_ASSERT(entry.size() <= bytes_.size());
  const std::span<std::byte> all(entry);

  // 126 descriptors fill the first sector, so that all of them simply follow the header.
  std::uint64_t data_at = head * kLogSectorBytes;
  for (std::size_t i = 0; i < spec.writes.size(); ++i) {
    put_descriptor(all.subspan(64 + 32 * i), spec.writes[i], spec.sequence);
    if (spec.writes[i].page.empty()) continue;
    put_data_sector(all.subspan(data_at, kLogSectorBytes), spec.writes[i].page, spec.sequence);
    data_at += kLogSectorBytes;
  }
  const std::vector<std::byte> nothing(kLogSectorBytes);
  for (; data_at < entry.size(); data_at += kLogSectorBytes) {
    put_data_sector(all.subspan(data_at, kLogSectorBytes), nothing, spec.sequence);
  }

  const LogEntryHeaderLayout header = {
      .signature = kLogEntrySignature,
      .checksum = 0u,
      .entry_length = spec.entry_length.value_or(static_cast<std::uint32_t>(entry.size())),
      .tail = static_cast<std::uint32_t>(spec.tail.value_or(spec.at)),
      .sequence_number = spec.sequence,
      .descriptor_count = spec.descriptor_count.value_or(static_cast<std::uint32_t>(spec.writes.size())),
      .reserved = 0u,
      .log_guid = spec.guid.value_or(guid_),
      .flushed_file_offset = spec.flushed_file_offset,
      .last_file_offset = spec.last_file_offset,
  };
  store(all, header);
  if (spec.spoil) spec.spoil(all);
  store(all.subspan(kLogEntryChecksumAt), Le<std::uint32_t>(crc32c(all) ^ (spec.bad_checksum ? 1u : 0u)));
  const std::size_t written = std::min(entry.size(), spec.torn_after.value_or(entry.size()));
  for (std::size_t i = 0; i < written; ++i) bytes_[(spec.at + i) % bytes_.size()] = entry[i];
  return (spec.at + entry.size()) % bytes_.size();
}

LogRegion region_of(VhdxLogBuilder& log, const VhdxLogHost& host) {
  return {.offset = host.log_offset, .length = log.bytes().size(), .guid = log.guid()};
}

std::shared_ptr<MemoryFile> make_vhdx_with_log(VhdxLogBuilder& log, const VhdxLogHost& host) {
  VDISK_ASSERT(host.log_offset + log.bytes().size() <= host.file_bytes);
  auto file = std::make_shared<MemoryFile>("dirty.vhdx");
  const auto must = [](const Status& status) { VDISK_ASSERT(status.has_value()); };
  must(file->write(FileOffset{0}, bytes_of(kIdentifierSignature)));
  for (std::size_t slot = 0; slot < 2; ++slot) {
    HeaderLayout header = {
        .signature = kHeaderSignature,
        .checksum = 0u,
        .sequence_number = host.header_sequence - 1 + slot,
        .file_write_guid = host.file_write_guid,
        .data_write_guid = host.data_write_guid,
        .log_guid = log.guid(),
        .log_version = std::uint16_t{0},
        .version = std::uint16_t{1},
        .log_length = static_cast<std::uint32_t>(log.bytes().size()),
        .log_offset = host.log_offset,
        .reserved = {},
    };
    header.checksum = crc32c(bytes_of(header));
    must(file->write(FileOffset{kHeaderAt[slot]}, bytes_of(header)));
  }
  must(file->write(FileOffset{host.log_offset}, log.bytes()));
  must(file->resize(host.file_bytes));
  return file;
}

LogWrite take_page(File& file, std::uint64_t offset) {
  LogWrite write{.file_offset = offset, .page = std::vector<std::byte>(4096)};
  VDISK_ASSERT(read_exactly(file, FileOffset{offset}, write.page).has_value());
  VDISK_ASSERT(file.write(FileOffset{offset}, std::vector<std::byte>(4096, std::byte{0xDB})).has_value());
  return write;
}

void put_log(File& file, std::uint64_t log_offset, VhdxLogBuilder& log) {
  VDISK_ASSERT(file.write(FileOffset{log_offset}, log.bytes()).has_value());
}

}  // namespace vdisk::testing
