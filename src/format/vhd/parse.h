// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a VHD to what they say: the footer copies and the choice between them, the dynamic
// header, the parent locators. The block allocation table is block_table.h's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/image.h"
#include "format/vhd/layout.h"

namespace vdisk::vhd {

/// One place where a footer may lie, and what is there.
struct FooterCopy {
  enum class State { kAbsent, kPoisoned, kBadChecksum, kBadVersion, kGood };
  State state = State::kAbsent;
  FileOffset at;
  Footer footer{};

  bool good() const noexcept { return state == State::kGood; }
  bool present() const noexcept { return state != State::kAbsent; }
};

enum class FooterPlace {
  kNone,
  kEnd,      ///< The last 512 bytes.
  kShort,    ///< The last 511 bytes (Virtual PC before 2004).
  kRounded,  ///< The last multiple of 512 in a file whose length is none.
  kFront,    ///< The copy at offset 0 of a dynamic or differencing image.
  kFound,    ///< Found by a backwards search; bytes follow it.
};
/// "end" "short" "rounded" "front" "found".
std::string_view to_string(FooterPlace place) noexcept;

/// All footer copies of a file (formats.md 1.13).
struct Footers {
  std::uint64_t file_bytes = 0;
  FooterPlace end_place = FooterPlace::kNone;  ///< Where `end` lies: kEnd, kShort, kRounded, kFound.
  FooterCopy end;
  FooterCopy front;
  FooterPlace chosen_place = FooterPlace::kNone;  ///< end_place or kFront; kNone when neither is good.

  const FooterCopy& chosen() const noexcept { return chosen_place == FooterPlace::kFront ? front : end; }
  /// The front is a copy of the footer, and not the first sector of a fixed disk's data.
  bool front_is_copy() const noexcept;
  /// Both copies are good, but not on the disk's size or type (formats.md 6, case 6).
  bool disagree() const noexcept;
};

/// A stretch of the file that is not payload.
struct Reserved {
  std::uint64_t at = 0;
  std::uint64_t length = 0;
  std::string_view what;  ///< "the dynamic header"
};

/// What a file says, filled stage by stage: after an error it holds what was known before it.
struct Parsed {
  Footers footers;
  std::optional<Footer> footer;  ///< The chosen one.
  std::optional<DynamicHeader> header;
  ImageProperties properties;
  /// Blocks must end at or before this: the footer's place, or the file's end where that footer is gone.
  std::uint64_t limit_bytes = 0;
  std::uint32_t bitmap_bytes = 0;
  std::uint64_t block_count = 0;       ///< Blocks that the disk needs; the table may have more entries.
  std::vector<Reserved> reserved;      ///< Places that no block may touch.
  std::optional<BatmapHeader> batmap;  ///< Xen's, where one is.
  /// Why the image may not be written, if so; its sentence.
  const Fault* read_only_fault = nullptr;
  std::string read_only_reason;

  bool fixed() const noexcept { return properties.type == DiskType::kFixed; }
  void make_read_only(const Fault& fault, std::string reason);
};

/// Reads every place where a footer belongs. Fails only on I/O errors.
Result<Footers> survey_footers(File& file);
/// Where nothing at all was found: looks for the footer of a fixed disk with bytes behind it, among the
/// multiples of 512 of the last MiB (formats.md 6, case 9). Never where a damaged footer is: what lies before
/// that is data.
Status search_footer(File& file, Footers& footers);

/// Parses everything but the block allocation table.
Status parse(File& file, Parsed& parsed);

/// Everything before `limit_bytes` that is not payload, by place: what blocks may not touch, and what may be
/// anywhere.
std::vector<Reserved> all_reserved(const Parsed& parsed);

/// One slot of the dynamic header, read.
struct LocatorText {
  LocatorEntry entry;
  std::string text;     ///< Decoded; empty when unusable or opaque.
  std::string problem;  ///< Why it is unusable; "" if it is fine or empty.
  std::string_view code_name;
};
/// Reads the used slots (formats.md 1.4), at most 64 KiB of text each. Fails only on I/O errors.
Result<std::vector<LocatorText>> read_locators(File& file, const DynamicHeader& header,
                                               std::uint64_t file_bytes);

/// The parent's unique id and everything that tells where it may be, in the order in which to look: relative,
/// absolute, URL, deprecated, then the file name of the header.
ParentLocator parent_locator(const DynamicHeader& header, const std::vector<LocatorText>& texts);

/// The one place where a VHD's unique id becomes a GUID. The VHD spec says only "128-bit UUID"; that Windows
/// shows it in text order is *unverified* (formats.md 1.2).
Guid unique_id_to_guid(const std::array<std::uint8_t, 16>& stored) noexcept;
/// The way back.
std::array<std::uint8_t, 16> guid_to_unique_id(const Guid& guid) noexcept;

}  // namespace vdisk::vhd
