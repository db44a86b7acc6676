// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/header.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/utf16.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

namespace {

using HeaderBytes = std::array<std::byte, kHeaderBytes>;

Header decode(const HeaderLayout& stored) {
  return {
      .sequence_number = stored.sequence_number,
      .file_write_guid = stored.file_write_guid,
      .data_write_guid = stored.data_write_guid,
      .log_guid = stored.log_guid,
      .log_version = stored.log_version,
      .version = stored.version,
      .log_length = stored.log_length,
      .log_offset = stored.log_offset,
  };
}

HeaderBytes encode(const Header& header) {
  const HeaderLayout stored = {
      .signature = kHeaderSignature,
      .checksum = 0u,
      .sequence_number = header.sequence_number,
      .file_write_guid = header.file_write_guid,
      .data_write_guid = header.data_write_guid,
      .log_guid = header.log_guid,
      .log_version = header.log_version,
      .version = header.version,
      .log_length = header.log_length,
      .log_offset = header.log_offset,
      .reserved = {},
  };
  HeaderBytes bytes;
  store(std::span<std::byte>(bytes), stored);
  const Le<std::uint32_t> checksum = crc32c(bytes);
  store(std::span(bytes).subspan(kHeaderChecksumAt), checksum);
  return bytes;
}

Result<HeaderCopy> read_copy(File& file, int slot, HeaderBytes& bytes) {
  HeaderCopy copy;
  const std::uint64_t at = kHeaderAt[static_cast<std::size_t>(slot)];
  const std::size_t got = VDISK_TRY(read_zero_padded(file, FileOffset{at}, bytes));
  const auto stored = load<HeaderLayout>(bytes);
  if (got < kHeaderBytes) {
    copy.problem = fmt::format("the file ends inside header {} at {:#x}", slot + 1, at);
  } else if (stored.signature != kHeaderSignature) {
    copy.problem = fmt::format("header {} at {:#x} has no 'head' signature", slot + 1, at);
  } else if (const std::uint32_t computed = crc32c_with_zero_field(bytes, kHeaderChecksumAt);
             computed != stored.checksum) {
    copy.problem = fmt::format("header {} at {:#x} has checksum {:#010x}, but its bytes give {:#010x}",
                               slot + 1, at, stored.checksum.get(), computed);
  } else {
    copy.header = decode(stored);
    copy.reserved_zero = is_all_zero(stored.reserved);
  }
  return copy;
}

Status check_log_place(File& file, const Header& header) {
  if (header.log_length == 0 && header.log_guid.is_zero()) return {};  // No log at all.
  const std::uint64_t size = VDISK_TRY(file.size());
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - kAlignment;
  const std::uint64_t rounded = size > most ? round_down(size, kAlignment) : round_up(size, kAlignment);
  if (header.log_length == 0 || !is_multiple(header.log_length, kAlignment) ||
      !is_multiple(header.log_offset, kAlignment) || header.log_offset < kHeaderSectionBytes ||
      !fits_within(header.log_offset, header.log_length, rounded)) {
    return fail(faults::kLogPlace,
                "{}: the log of {:#x} bytes at {:#x} is not made of whole MiB behind the first MiB and "
                "inside the file "
                "of {:#x} bytes",
                file.name(), header.log_length, header.log_offset, size);
  }
  return {};
}

Status check_current(File& file, const Header& header) {
  if (header.version != kVersion) {
    return fail(faults::kVersion, "{}: VHDX version {}; only version 1 is known", file.name(),
                header.version);
  }
  // With no log to replay the log's version says nothing (formats.md 2.3).
  if (!header.log_guid.is_zero() && header.log_version != kLogVersion) {
    return fail(faults::kLogVersion, "{}: the log to replay has version {}; only version 0 is known",
                file.name(), header.log_version);
  }
  return check_log_place(file, header);
}

}  // namespace

Result<bool> has_identifier(File& file) {
  Signature<8> signature{};
  static_cast<void>(
      VDISK_TRY(read_zero_padded(file, FileOffset{kIdentifierAt}, writable_bytes_of(signature))));
  return signature == kIdentifierSignature;
}

Result<std::string> read_identifier(File& file) {
  IdentifierLayout stored;
  static_cast<void>(VDISK_TRY(read_zero_padded(file, FileOffset{kIdentifierAt}, writable_bytes_of(stored))));
  if (stored.signature != kIdentifierSignature) {
    return fail(faults::kIdentifier, "{}: no 'vhdxfile' signature at offset 0: this is not a VHDX file",
                file.name());
  }
  std::size_t length = 0;
  while (length + 1 < stored.creator.size() &&
         (stored.creator[length] != std::byte{0} || stored.creator[length + 1] != std::byte{0})) {
    length += 2;
  }
  return utf16_to_utf8(std::span(stored.creator).first(length), Utf16Order::kLittle);
}

Status read_headers_into(File& file, Headers& headers) {
  std::array<HeaderBytes, 2> bytes;
  for (int slot = 0; slot < 2; ++slot) {
    const auto i = static_cast<std::size_t>(slot);
    headers.copies[i] = VDISK_TRY(read_copy(file, slot, bytes[i]));
  }
  const auto& [first, second] = headers.copies;
  if (!first.header && !second.header) {
    return fail(faults::kHeadersInvalid, "{}: neither header is valid: {}; {}", file.name(), first.problem,
                second.problem);
  }
  headers.other_valid = first.header && second.header;
  headers.current_slot = first.header ? 0 : 1;
  if (headers.other_valid) {
    if (second.header->sequence_number > first.header->sequence_number) headers.current_slot = 1;
    if (first.header->sequence_number == second.header->sequence_number && bytes[0] != bytes[1]) {
      headers.current = *first.header;
      return fail(
          faults::kHeaderConflict,
          "{}: both headers are valid and have sequence number {}, but differ: neither can be trusted",
          file.name(), first.header->sequence_number);
    }
  }
  headers.current = *headers.copies[static_cast<std::size_t>(headers.current_slot)].header;
  return check_current(file, headers.current);
}

Result<Headers> read_headers(File& file) {
  Headers headers;
  VDISK_TRY(read_headers_into(file, headers));
  return headers;
}

Status write_header_twice(File& file, Headers& headers, const Header& next) {
  if (headers.current.sequence_number > std::numeric_limits<std::uint64_t>::max() - 2) {
    return fail(faults::kSequenceExhausted,
                "{}: the header's sequence number is {}: it cannot be raised any more; convert the image to "
                "a new file",
                file.name(), headers.current.sequence_number);
  }
  for (int round = 0; round < 2; ++round) {
    const int slot = 1 - headers.current_slot;
    Header header = next;
    header.sequence_number = headers.current.sequence_number + 1;
    HeaderCopy& copy = headers.copies[static_cast<std::size_t>(slot)];
    // Until the flush returns, nobody knows what the slot holds.
    copy = {.header = std::nullopt, .problem = "its last update failed", .reserved_zero = true};
    headers.other_valid = false;
    VDISK_TRY_CONTEXT(file.write(FileOffset{kHeaderAt[static_cast<std::size_t>(slot)]}, encode(header)),
                      "writing header {}", slot + 1);
    VDISK_TRY_CONTEXT(file.flush(), "flushing header {}", slot + 1);
    copy = {.header = header, .problem = {}, .reserved_zero = true};
    headers.current = header;
    headers.current_slot = slot;
    headers.other_valid = headers.copies[static_cast<std::size_t>(1 - slot)].header.has_value();
  }
  return {};
}

Status write_new_headers(File& file, Header header) {
  for (const std::uint64_t at : kHeaderAt) {
    VDISK_TRY(file.write(FileOffset{at}, encode(header)));
    ++header.sequence_number;
  }
  return {};
}

}  // namespace vdisk::vhdx
