// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the disk that a partition table is read from. The first byte chooses how the input is spread:
// so many pieces of 512 bytes, each behind the two bytes that say at which sector it lies; a set top bit
// repairs the GPT's checksums, which no fuzzer finds. Oracle, besides the sanitizers: bounded reading,
// partitions on the disk, in order.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "filesystem/partition_table.h"

namespace {

using namespace vdisk;  // NOLINT: one short program

constexpr std::uint64_t kDiskBytes = 2 * kMiB;
// Both copies in both sector sizes with their entries, and the chain.
constexpr std::uint64_t kMostBytesRead = 6 * kMiB;

std::vector<std::byte> build(std::span<const std::byte> input) {
  std::vector<std::byte> disk(kDiskBytes);
  while (input.size() > 2) {
    const auto sector = load<Le<std::uint16_t>>(input) % (kDiskBytes / 512);
    input = input.subspan(2);
    const auto piece = input.first(std::min<std::size_t>(512, input.size()));
    std::ranges::copy(piece, disk.begin() + static_cast<std::ptrdiff_t>(sector * 512));
    input = input.subspan(piece.size());
  }
  return disk;
}

void repair_gpt(std::vector<std::byte>& disk, std::size_t at) {
  std::vector<std::byte> sector(disk.begin() + static_cast<std::ptrdiff_t>(at),
                                disk.begin() + static_cast<std::ptrdiff_t>(at + 512));
  auto header = load<filesystem::GptHeader>(sector);
  header.signature = filesystem::kGptSignature;
  header.header_size = static_cast<std::uint32_t>(filesystem::kGptHeaderBytes);
  filesystem::seal_gpt_header(sector, header);
  std::ranges::copy(sector, disk.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto disk = build(std::as_bytes(std::span(data + 1, size - 1)));
  if ((data[0] & 0x80U) != 0) repair_gpt(disk, 512);
  if ((data[0] & 0x40U) != 0) repair_gpt(disk, kDiskBytes - 512);
  constexpr std::uint32_t kSectors[] = {512, 2048, 4096, 512};
  std::uint64_t bytes_read = 0;
  const filesystem::DiskReader read = [&](DiskOffset at, std::span<std::byte> into) -> Status {
    VDISK_ASSERT(fits_within(at.bytes, into.size(), disk.size()));
    VDISK_ASSERT((bytes_read += into.size()) <= kMostBytesRead);
    std::memcpy(into.data(), disk.data() + at.bytes, into.size());
    return {};
  };
  const auto table = filesystem::read_partition_table(read, disk.size(), kSectors[data[0] & 3U]);
  VDISK_ASSERT(table.has_value());
  std::uint32_t last = 0;
  for (const auto& partition : table->partitions) {
    VDISK_ASSERT(partition.number > last && partition.number <= filesystem::kMostPartitions);
    last = partition.number;
    VDISK_ASSERT(partition.range.length != 0 &&
                 fits_within(partition.range.at.bytes, partition.range.length, disk.size()));
  }
  return 0;
}
