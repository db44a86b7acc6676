// SPDX-License-Identifier: Apache-2.0
#include "format/iso/scan.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/checked.h"
#include "base/utf16.h"
#include "format/iso/layout.h"

namespace vdisk::iso {

namespace {

using Sector = std::array<std::byte, kSectorBytes>;

// Longest sequences that are followed. Real ones have fewer than ten descriptors; blkid stops at 64 too.
constexpr unsigned kMostDescriptors = 64;
constexpr std::uint64_t kMostSequenceBlocks = 64;
// UDF block sizes; a recognition descriptor takes max(2048, block) bytes (ECMA-167 2/8.1). 2048 is first:
// discs.
constexpr std::uint32_t kStrides[] = {2048, 4096, 8192, 16384, 32768};
constexpr std::uint32_t kAnchorBlockBytes[] = {2048, 512, 4096, 1024, 8192, 16384, 32768};

std::string_view text_of(std::span<const char> text) { return {text.data(), text.size()}; }

enum class Kind { kNone, kIso, kHighSierra, kUdfBegin, kUdfNsr, kUdfOther };

Kind classify(const Sector& sector) {
  const auto head = load<IsoDescriptor>(sector);
  const std::string_view id = text_of(head.identifier);
  if (id == "CD001") return Kind::kIso;
  if (id == "BEA01") return Kind::kUdfBegin;
  if (id == "NSR02" || id == "NSR03") return Kind::kUdfNsr;
  if (id == "TEA01" || id == "BOOT2" || id == "CDW02") return Kind::kUdfOther;
  const auto sierra = load<HighSierraDescriptor>(sector);
  return text_of(sierra.identifier) == "CDROM" ? Kind::kHighSierra : Kind::kNone;
}

// Names go to terminals and JSON: padding is cut off, control characters become '?'.
std::string clean(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0) break;
    // U+0080 to U+009F are C2 80 to C2 9F in UTF-8.
    const bool c1 = c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    out += c < 0x20 || c == 0x7F || c1 ? '?' : text[i];
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

// d-characters are ASCII; what else writers put there is shown as Latin-1.
std::string clean_latin1(std::span<const std::byte> stored) {
  std::u16string text;
  for (const std::byte b : stored) text += static_cast<char16_t>(std::to_integer<std::uint8_t>(b));
  return clean(utf16_to_utf8(text));
}

// OSTA CS0 in a dstring (UDF 2.60, 2.1.1 and 2.1.3): compression id, characters; the last byte is the length
// used.
std::string dstring(std::span<const std::byte> stored) {
  const std::size_t used =
      std::min<std::size_t>(std::to_integer<std::uint8_t>(stored.back()), stored.size() - 1);
  if (used < 2) return {};
  const auto text = stored.subspan(1, used - 1);
  switch (std::to_integer<unsigned>(stored.front())) {
    case 8:
      return clean_latin1(text);
    case 16:
      return clean(utf16_to_utf8(text, Utf16Order::kBig));
    default:
      return {};
  }
}

bool is_joliet(const IsoDescriptor& descriptor) {
  const auto* escape = descriptor.escape_sequences.data();
  if (escape[0] != std::byte{'%'} || escape[1] != std::byte{'/'}) return false;
  return escape[2] == std::byte{'@'} || escape[2] == std::byte{'C'} || escape[2] == std::byte{'E'};
}

std::uint64_t space_bytes(const BothEndian32& blocks, const BothEndian16& block_bytes) {
  const std::uint64_t stored = block_bytes.le.get();
  const std::uint64_t unit = stored == 512 || stored == 1024 ? stored : kSectorBytes;
  return blocks.le.get() * unit;  // 32 bits by 12: no overflow
}

IsoVolume iso_volume(const IsoDescriptor& d, std::uint64_t at, bool joliet) {
  IsoVolume volume;
  volume.at = at;
  volume.volume_id =
      joliet ? clean(utf16_to_utf8(std::span(d.volume_id), Utf16Order::kBig)) : clean_latin1(d.volume_id);
  if (!joliet) volume.application_id = clean_latin1(d.application_id);
  volume.space_bytes = space_bytes(d.volume_space_blocks, d.logical_block_bytes);
  volume.both_endian_agree = d.volume_space_blocks.le.get() == d.volume_space_blocks.be.get();
  return volume;
}

// Follows the descriptors from sector 16 on.
class SequenceWalk {
 public:
  SequenceWalk(File& file, Discovery& found) : file_(file), found_(found) {}

  // The discs' sequence: ISO 9660 or High Sierra descriptors, then UDF's.
  Status walk_sectors() {
    for (unsigned i = 0; i < kMostDescriptors; ++i) {
      const std::uint64_t at = kSystemAreaBytes + i * kSectorBytes;
      Sector sector;
      if (VDISK_TRY(read_zero_padded(file_, FileOffset{at}, sector)) < kSectorBytes) break;
      switch (classify(sector)) {
        case Kind::kNone:
          return {};
        case Kind::kIso:
          see_iso(sector, at);
          break;
        case Kind::kHighSierra:
          see_high_sierra(sector, at);
          break;
        default:
          see_udf(sector, kSectorBytes);
          break;
      }
    }
    return {};
  }

  // UDF with blocks above 2048: nothing else can be in the sequence (formats.md 4.5, stride).
  Status walk_strides() {
    for (const std::uint32_t stride : kStrides) {
      if (stride == kSectorBytes || found_.udf || !begun_) continue;
      for (unsigned i = 1; i < kMostDescriptors; ++i) {
        Sector sector;
        const FileOffset at{kSystemAreaBytes + std::uint64_t{i} * stride};
        if (VDISK_TRY(read_zero_padded(file_, at, sector)) < kSectorBytes) break;
        const Kind kind = classify(sector);
        if (kind == Kind::kNone || kind == Kind::kIso || kind == Kind::kHighSierra) break;
        see_udf(sector, stride);
      }
    }
    return {};
  }

 private:
  // CDFS reads on until the first primary, and gives up at a terminator or an unknown version before it
  // ([CDFS] fsctrl.c); a boot record or a Joliet descriptor may come first.
  void see_iso(const Sector& sector, std::uint64_t at) {
    found_.signature = true;
    const auto d = load<IsoDescriptor>(sector);
    const auto type = static_cast<VolumeType>(d.type);
    if (!found_.primary && (d.version != 1 || type == VolumeType::kTerminator)) iso_ended_ = true;
    if (iso_ended_) return;
    switch (type) {
      case VolumeType::kBoot:
        if (text_of(load<BootRecord>(sector).boot_system_id).starts_with("EL TORITO SPECIFICATION")) {
          found_.el_torito = true;
        }
        break;
      case VolumeType::kPrimary:
        if (!found_.primary) found_.primary = iso_volume(d, at, false);
        break;
      case VolumeType::kSupplementary:
        if (!found_.joliet && is_joliet(d)) found_.joliet = iso_volume(d, at, true);
        break;
      case VolumeType::kTerminator:
        found_.terminator = iso_ended_ = true;
        break;
      default:
        break;
    }
  }

  void see_high_sierra(const Sector& sector, std::uint64_t at) {
    found_.signature = true;
    const auto d = load<HighSierraDescriptor>(sector);
    const auto type = static_cast<VolumeType>(d.type);
    if (!found_.high_sierra && (d.version != 1 || type == VolumeType::kTerminator)) iso_ended_ = true;
    if (iso_ended_) return;
    if (type == VolumeType::kTerminator) found_.terminator = iso_ended_ = true;
    if (type != VolumeType::kPrimary || found_.high_sierra) return;
    IsoVolume& volume = found_.high_sierra.emplace();
    volume.at = at;
    volume.volume_id = clean_latin1(d.volume_id);
    volume.space_bytes = space_bytes(d.volume_space_blocks, d.logical_block_bytes);
    volume.both_endian_agree = d.volume_space_blocks.le.get() == d.volume_space_blocks.be.get();
  }

  // NSR counts only behind a BEA01 (ECMA-167 2/8.3.1), wherever that is.
  void see_udf(const Sector& sector, std::uint32_t stride) {
    const Kind kind = classify(sector);
    if (kind == Kind::kUdfBegin) begun_ = true;
    if (kind != Kind::kUdfNsr) return;
    found_.signature = true;
    if (!begun_ || found_.udf) return;
    UdfVolume& udf = found_.udf.emplace();
    udf.nsr = load<IsoDescriptor>(sector).identifier[4] == '2' ? 2 : 3;
    udf.stride_bytes = stride;
  }

  File& file_;
  Discovery& found_;
  bool iso_ended_ = false;
  bool begun_ = false;
};

// CRC-16 with polynomial 0x1021 and initial value 0 (ECMA-167 3/7.2.6).
std::uint16_t crc16(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0;
  for (const std::byte b : bytes) {
    crc ^= std::to_integer<std::uint32_t>(b) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
  }
  return static_cast<std::uint16_t>(crc);
}

bool tag_is(const UdfTag& tag, std::uint16_t id, std::uint64_t block) {
  unsigned sum = 0;
  for (const std::byte b : bytes_of(tag)) sum += std::to_integer<unsigned>(b);
  const bool sum_good = static_cast<std::uint8_t>(sum - tag.checksum) == tag.checksum;
  return sum_good && tag.id == id && (tag.version == 2 || tag.version == 3) && tag.location == block;
}

bool tag_crc_good(const UdfTag& tag, std::span<const std::byte> descriptor) {
  const std::size_t length = tag.crc_length;
  return sizeof(UdfTag) + length <= descriptor.size() &&
         crc16(descriptor.subspan(sizeof(UdfTag), length)) == tag.crc;
}

// Finds anchors in units of `block_bytes`: at 256, N - 256, N and, on discs that were not closed, 512.
Result<std::optional<UdfAnchor>> find_anchors(File& file, std::uint64_t file_bytes, std::uint32_t block_bytes,
                                              UdfVolume& udf) {
  std::optional<UdfAnchor> first;
  const std::uint64_t blocks = file_bytes / block_bytes;
  std::vector<std::uint64_t> places = {256, 512};
  if (blocks > 256) places.insert(places.end(), {blocks - 1, blocks - 1 - 256});
  std::ranges::sort(places);
  places.erase(std::ranges::unique(places).begin(), places.end());
  for (const std::uint64_t block : places) {
    if (block >= blocks || block > UINT32_MAX) continue;
    std::array<std::byte, 512> descriptor;
    if (VDISK_TRY(read_zero_padded(file, FileOffset{block * block_bytes}, descriptor)) < descriptor.size())
      continue;
    const auto anchor = load<UdfAnchor>(descriptor);
    if (!tag_is(anchor.tag, kUdfAnchor, block)) continue;
    udf.anchors.push_back({block, tag_crc_good(anchor.tag, descriptor)});
    if (!first || (block == 256 && udf.anchors.back().crc_good)) first = anchor;
  }
  return first;
}

Status read_volume_sequence(File& file, const UdfExtent& extent, UdfVolume& udf) {
  const std::uint64_t blocks =
      std::min<std::uint64_t>(extent.length_bytes / udf.block_bytes, kMostSequenceBlocks);
  std::uint32_t newest = 0;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t block = extent.location.get() + i;
    std::array<std::byte, 512> descriptor;
    const FileOffset at{block * udf.block_bytes};
    if (VDISK_TRY(read_zero_padded(file, at, descriptor)) < descriptor.size()) break;
    const auto tag = load<UdfTag>(descriptor);
    if (tag_is(tag, kUdfTerminating, block)) break;
    if (tag_is(tag, kUdfPartition, block)) {
      const auto partition = load<UdfPartitionDescriptor>(descriptor);
      const std::uint64_t end = std::uint64_t{partition.start_block} + partition.length_blocks;
      udf.end_bytes = std::max(udf.end_bytes, end * udf.block_bytes);  // 33 bits by 15: no overflow
    } else if (tag_is(tag, kUdfLogicalVolume, block)) {
      const auto volume = load<UdfLogicalVolume>(descriptor);
      // Of several, the highest sequence number prevails (ECMA-167 3/8.4.3).
      if (udf.has_logical_volume && volume.sequence_number < newest) continue;
      newest = volume.sequence_number;
      udf.has_logical_volume = true;
      udf.volume_id = dstring(volume.volume_id);
      if (text_of(volume.domain_id).starts_with("*OSTA UDF Compliant"))
        udf.revision = volume.udf_revision.get();
    }
  }
  return {};
}

Status examine_udf(File& file, std::uint64_t file_bytes, UdfVolume& udf) {
  for (const std::uint32_t block_bytes : kAnchorBlockBytes) {
    const auto anchor = VDISK_TRY(find_anchors(file, file_bytes, block_bytes, udf));
    if (!anchor) continue;
    udf.block_bytes = block_bytes;
    VDISK_TRY(read_volume_sequence(file, anchor->main_sequence, udf));
    if (!udf.has_logical_volume) VDISK_TRY(read_volume_sequence(file, anchor->reserve_sequence, udf));
    return {};
  }
  return {};
}

// Formats of raw CD dumps: bytes per sector, and bytes before the user data (mode 1; mode 2 form 1).
struct RawLayout {
  std::uint32_t sector_bytes;
  std::uint32_t data_at;
};
constexpr RawLayout kRawLayouts[] = {{2352, 16}, {2352, 24}, {2448, 16}, {2448, 24}, {2336, 8}};

Status look_for_raw_sectors(File& file, Discovery& found) {
  for (const RawLayout& layout : kRawLayouts) {
    Sector sector;
    const FileOffset at{std::uint64_t{16} * layout.sector_bytes + layout.data_at};
    VDISK_TRY(read_zero_padded(file, at, sector));
    if (classify(sector) == Kind::kNone) continue;
    found.raw_sector_bytes = layout.sector_bytes;
    return {};
  }
  return {};
}

}  // namespace

std::uint64_t Discovery::volume_end_bytes() const noexcept {
  std::uint64_t end = 0;
  if (primary) end = std::max(end, primary->space_bytes);
  if (joliet) end = std::max(end, joliet->space_bytes);
  if (high_sierra) end = std::max(end, high_sierra->space_bytes);
  if (udf) end = std::max(end, udf->end_bytes);
  return end;
}

Result<Discovery> discover(File& file, std::uint64_t file_bytes) {
  Discovery found;
  SequenceWalk walk(file, found);
  VDISK_TRY(walk.walk_sectors());
  VDISK_TRY(walk.walk_strides());
  if (found.udf) VDISK_TRY(examine_udf(file, file_bytes, *found.udf));
  if (!found.signature) VDISK_TRY(look_for_raw_sectors(file, found));
  return found;
}

Result<bool> has_signature(File& file) {
  Discovery found;
  SequenceWalk walk(file, found);
  VDISK_TRY(walk.walk_sectors());
  VDISK_TRY(walk.walk_strides());
  return found.signature;
}

}  // namespace vdisk::iso
