// SPDX-License-Identifier: Apache-2.0
//
// Finding the footer copies and choosing between them (formats.md 1.13).
#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

/// A footer cut off before this has lost fields.
constexpr std::uint64_t kLeastFooterBytes = offsetof(Footer, reserved);
/// How far before the file's end a footer with bytes behind it is looked for (formats.md 6, case 9).
constexpr std::uint64_t kSearchBytes = kMiB;
constexpr std::uint64_t kSearchStepBytes = 64 * kKiB;

FooterCopy judge(const Footer& footer, FileOffset at) noexcept {
  FooterCopy copy{FooterCopy::State::kAbsent, at, footer};
  if (footer.cookie == kPoisonCookie) {
    copy.state = FooterCopy::State::kPoisoned;
  } else if (footer.cookie == kFooterCookie) {
    if (footer.checksum != checksum_of(footer)) {
      copy.state = FooterCopy::State::kBadChecksum;
    } else if (footer.format_version >> 16 != kVersion1 >> 16) {
      copy.state = FooterCopy::State::kBadVersion;
    } else {
      copy.state = FooterCopy::State::kGood;
    }
  }
  return copy;
}

/// Reads a footer that the file may cut short; the missing tail counts as zeros, as it is in every whole
/// footer.
Result<FooterCopy> read_copy(File& file, std::uint64_t at) {
  Footer footer{};
  static_cast<void>(VDISK_TRY(read_zero_padded(file, FileOffset{at}, writable_bytes_of(footer))));
  return judge(footer, FileOffset{at});
}

/// The last good footer of a fixed disk before the file's end, among the multiples of 512 of the last MiB.
Result<std::optional<FooterCopy>> search_backwards(File& file, std::uint64_t file_bytes) {
  std::vector<std::byte> step(kSearchStepBytes);
  const std::uint64_t lowest =
      file_bytes > kSearchBytes ? round_down(file_bytes - kSearchBytes, kSectorBytes) : 0;
  std::uint64_t end = round_down(file_bytes, kSectorBytes);
  while (end > lowest) {
    const std::uint64_t begin = end - lowest > kSearchStepBytes ? end - kSearchStepBytes : lowest;
    const auto bytes = std::span(step).first(end - begin);
    static_cast<void>(VDISK_TRY(read_zero_padded(file, FileOffset{begin}, bytes)));
    for (std::uint64_t at = end - kSectorBytes;; at -= kSectorBytes) {
      const FooterCopy copy = judge(load<Footer>(bytes.subspan(at - begin)), FileOffset{at});
      if (copy.good() && copy.footer.disk_type == static_cast<std::uint32_t>(DiskType::kFixed) &&
          copy.footer.current_size <= at) {
        return copy;
      }
      if (at == begin) break;
    }
    end = begin;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(FooterPlace place) noexcept {
  switch (place) {
    case FooterPlace::kNone:
      return "none";
    case FooterPlace::kEnd:
      return "end";
    case FooterPlace::kShort:
      return "short";
    case FooterPlace::kRounded:
      return "rounded";
    case FooterPlace::kFront:
      return "front";
    case FooterPlace::kFound:
      return "found";
  }
  return "";
}

bool Footers::front_is_copy() const noexcept {
  if (!front.present()) return false;
  const bool fixed_end = end.good() && end.footer.disk_type == static_cast<std::uint32_t>(DiskType::kFixed);
  // A fixed disk may hold any bytes at 0, another image's footer too; only its own id makes them a copy.
  if (fixed_end) return front.good() && front.footer.unique_id == end.footer.unique_id;
  // Fixed disks have no copy at the front: what calls itself fixed there is data, or a whole file of one
  // sector.
  return !front.good() || front.footer.disk_type != static_cast<std::uint32_t>(DiskType::kFixed);
}

bool Footers::disagree() const noexcept {
  return end.good() && front.good() && front_is_copy() &&
         (end.footer.current_size != front.footer.current_size ||
          end.footer.disk_type != front.footer.disk_type);
}

Result<Footers> survey_footers(File& file) {
  Footers found;
  found.file_bytes = VDISK_TRY(file.size());
  if (found.file_bytes >= kFooterBytes) {
    found.end = VDISK_TRY(read_copy(file, found.file_bytes - kFooterBytes));
    if (found.end.present()) found.end_place = FooterPlace::kEnd;
  }
  const std::uint64_t tail_bytes = found.file_bytes % kSectorBytes;
  if (!found.end.good() && tail_bytes >= kLeastFooterBytes) {
    const FooterCopy rounded = VDISK_TRY(read_copy(file, found.file_bytes - tail_bytes));
    if (rounded.state > found.end.state) {
      found.end = rounded;
      found.end_place = tail_bytes == kShortFooterBytes ? FooterPlace::kShort : FooterPlace::kRounded;
    }
  }
  // One sector alone would be its own front copy.
  if (found.file_bytes >= 2 * kFooterBytes) found.front = VDISK_TRY(read_copy(file, 0));

  if (found.end.good()) {
    found.chosen_place = found.end_place;
  } else if (found.front.good() && found.front_is_copy()) {
    found.chosen_place = FooterPlace::kFront;
  }
  return found;
}

Status search_footer(File& file, Footers& footers) {
  if (footers.end.present() || (footers.front.present() && footers.front_is_copy())) return {};
  const auto found = VDISK_TRY(search_backwards(file, footers.file_bytes));
  if (!found) return {};
  footers.end = *found;
  footers.end_place = footers.chosen_place = FooterPlace::kFound;
  return {};
}

}  // namespace vdisk::vhd
