// SPDX-License-Identifier: Apache-2.0
//
// Makes ISO and UDF discs for tests, sector by sector. Shares the layout structs with the reader and nothing
// else.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/checked.h"
#include "format/iso/layout.h"
#include "io/memory_file.h"

namespace vdisk::testing {

// The layout's names, for the builder alone.
namespace disc_builder {

using namespace vdisk::iso;

/// A disc built sector by sector.
class Disc {
 public:
  explicit Disc(std::uint64_t size_bytes) : bytes_(size_bytes) {}

  template <class T>
  Disc& put(std::uint64_t at, const T& value) {
    if (bytes_.size() < at + sizeof value) bytes_.resize(at + sizeof value);
    store(std::span(bytes_).subspan(at), value);
    return *this;
  }
  Disc& text(std::uint64_t at, std::string_view value) {
    std::ranges::transform(value, bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                           [](char c) { return static_cast<std::byte>(c); });
    return *this;
  }
  static std::uint64_t sector(unsigned number) { return number * kSectorBytes; }

  static IsoDescriptor iso(VolumeType type, std::uint8_t version = 1, std::uint32_t blocks = 0) {
    IsoDescriptor d{};
    d.type = static_cast<std::uint8_t>(type);
    d.identifier = {'C', 'D', '0', '0', '1'};
    d.version = version;
    d.volume_space_blocks = {blocks, blocks};
    d.logical_block_bytes = {std::uint16_t{2048}, std::uint16_t{2048}};
    d.volume_id.fill(std::byte{' '});
    std::ranges::transform(std::string_view("HELLO"), d.volume_id.begin(),
                           [](char c) { return std::byte(c); });
    return d;
  }
  Disc& add(unsigned at_sector, VolumeType type, std::uint8_t version = 1, std::uint32_t blocks = 0) {
    return put(sector(at_sector), iso(type, version, blocks));
  }
  Disc& recognition(std::uint64_t at, std::string_view id) {
    IsoDescriptor d{};
    std::ranges::copy(id, d.identifier.begin());
    d.version = 1;
    return put(at, d);
  }

  static UdfTag tag(std::uint16_t id, std::uint32_t location) {
    UdfTag t{};
    t.id = id;
    t.version = std::uint16_t{2};
    t.location = location;
    unsigned sum = 0;
    for (const std::byte b : bytes_of(t)) sum += std::to_integer<unsigned>(b);
    t.checksum = static_cast<std::uint8_t>(sum);
    return t;
  }
  // Anchor whose CRC covers nothing (crc 0 of 0 bytes): legal for a reader.
  Disc& anchor(std::uint32_t block_bytes, std::uint32_t block, std::uint32_t sequence_at,
               std::uint32_t blocks) {
    UdfAnchor a{};
    a.tag = tag(kUdfAnchor, block);
    a.main_sequence = {blocks * block_bytes, sequence_at};
    a.reserve_sequence = a.main_sequence;
    return put(std::uint64_t{block} * block_bytes, a);
  }
  Disc& logical_volume(std::uint32_t block_bytes, std::uint32_t block, std::u16string_view name,
                       std::uint16_t revision) {
    UdfLogicalVolume v{};
    v.tag = tag(kUdfLogicalVolume, block);
    v.volume_id[0] = std::byte{16};
    for (std::size_t i = 0; i < name.size(); ++i) {
      v.volume_id[1 + 2 * i] = static_cast<std::byte>(name[i] >> 8);
      v.volume_id[2 + 2 * i] = static_cast<std::byte>(name[i] & 0xFF);
    }
    v.volume_id.back() = static_cast<std::byte>(1 + 2 * name.size());
    v.logical_block_bytes = block_bytes;
    std::ranges::copy(std::string_view("*OSTA UDF Compliant"), v.domain_id.begin());
    v.udf_revision = revision;
    return put(std::uint64_t{block} * block_bytes, v);
  }
  Disc& partition(std::uint32_t block_bytes, std::uint32_t block, std::uint32_t start, std::uint32_t length) {
    UdfPartitionDescriptor p{};
    p.tag = tag(kUdfPartition, block);
    p.start_block = start;
    p.length_blocks = length;
    return put(std::uint64_t{block} * block_bytes, p);
  }
  Disc& resize(std::uint64_t size_bytes) {
    bytes_.resize(size_bytes);
    return *this;
  }

  std::unique_ptr<File> file(std::string name = "disc.iso") const {
    return std::make_unique<MemoryFile>(std::span<const std::byte>(bytes_), std::move(name), false);
  }
  std::vector<std::byte>& bytes() { return bytes_; }
  std::uint64_t size_bytes() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

/// ISO 9660 with a primary descriptor and a terminator, and nothing else.
inline Disc plain_disc(std::uint32_t sectors = 32) {
  Disc disc(sectors * kSectorBytes);
  disc.add(16, VolumeType::kPrimary, 1, sectors).add(17, VolumeType::kTerminator);
  return disc;
}

/// A UDF disc with everything in its place, for blocks of `block_bytes`.
inline Disc udf_disc(std::uint32_t block_bytes, std::string_view nsr = "NSR03") {
  const std::uint32_t blocks =
      static_cast<std::uint32_t>(std::max<std::uint64_t>(600, 2 * kMiB / block_bytes));
  const std::uint64_t stride = std::max<std::uint64_t>(kSectorBytes, block_bytes);
  Disc disc(round_up(std::uint64_t{blocks} * block_bytes, kSectorBytes));
  const auto last = static_cast<std::uint32_t>(disc.bytes().size() / block_bytes - 1);
  disc.recognition(kSystemAreaBytes, "BEA01").recognition(kSystemAreaBytes + stride, nsr);
  disc.recognition(kSystemAreaBytes + 2 * stride, "TEA01");
  // The recognition sequence of small blocks reaches past block 64; the volume sequence stands well behind
  // it.
  disc.anchor(block_bytes, 256, 300, 3).anchor(block_bytes, last, 300, 3);
  disc.partition(block_bytes, 300, 310, last - 310).logical_volume(block_bytes, 301, u"Größe \u30C6", 0x0201);
  return disc;
}

}  // namespace disc_builder

using disc_builder::Disc;
using disc_builder::plain_disc;
using disc_builder::udf_disc;

}  // namespace vdisk::testing
