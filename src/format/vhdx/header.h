// SPDX-License-Identifier: Apache-2.0
//
// The file type identifier, and the header in its two copies (MS-VHDX 2.2.1 and 2.2.2, formats.md 2.2
// and 2.3): choosing the current copy, and updating both in the order that leaves one valid at every instant.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk::vhdx {

/// A header's fields, decoded.
struct Header {
  std::uint64_t sequence_number = 0;
  Guid file_write_guid;
  Guid data_write_guid;
  Guid log_guid;  ///< Zero: there is no log to replay.
  std::uint16_t log_version = 0;
  std::uint16_t version = 1;
  std::uint32_t log_length = 0;
  std::uint64_t log_offset = 0;
  bool operator==(const Header&) const = default;
};

/// One of the two slots, as found.
struct HeaderCopy {
  std::optional<Header> header;  ///< Unset when the signature or the checksum is wrong.
  std::string problem;           ///< Why it is unset.
  bool reserved_zero = true;     ///< Of a valid copy.
};

/// The two copies, and which of them counts.
struct Headers {
  Header current;
  int current_slot = 0;  ///< 0 is header 1.
  bool other_valid = false;
  std::array<HeaderCopy, 2> copies;
};

/// Whether the file begins with the VHDX signature; fails on I/O only.
Result<bool> has_identifier(File& file);
/// Checks the signature; returns the creator's name, which means nothing but is nice to know.
Result<std::string> read_identifier(File& file);

/// Reads both copies and chooses: the valid one, or of two valid ones that with the larger sequence number.
/// Checks the chosen one's versions and the log's place. Fails with the `vhdx.header.*` rows.
Result<Headers> read_headers(File& file);
/// As read_headers, but returns what could be chosen before the first obstacle, for inspect and check;
/// `headers` is filled as far as it was read.
Status read_headers_into(File& file, Headers& headers);

/// Makes `next` the header by the update procedure of formats.md 2.3: writes it to the non-current slot,
/// flushes, then to the other, flushes; each with the sequence number one higher (that of `next` is ignored).
/// On success both slots are valid and `headers` says so; on failure `headers` describes what is known to be
/// stable. Refuses (vhdx.header.sequence) rather than wrap the sequence number.
/// **Durability:** the header is on stable storage on return, and one valid header was at every instant
/// before.
Status write_header_twice(File& file, Headers& headers, const Header& next);

/// Writes both slots of a new file: header 1 with the sequence number of `header`, header 2 with the one
/// after it.
/// **Durability:** none; nothing in the file is valid yet that a crash could damage.
Status write_new_headers(File& file, Header header);

}  // namespace vdisk::vhdx
