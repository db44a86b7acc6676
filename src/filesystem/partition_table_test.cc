// SPDX-License-Identifier: Apache-2.0
#include "filesystem/partition_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/fault.h"
#include "io/faults.h"

namespace vdisk::filesystem {
namespace {

using ::testing::ElementsAre;
using Kind = PartitionTable::Kind;

constexpr std::uint64_t kDiskBytes = 8 * kMiB;

std::uint32_t crc32(std::span<const std::byte> bytes) {
  const void* raw = bytes.data();
  return crc32_gzip_refl(0, static_cast<const unsigned char*>(raw), bytes.size());
}

/// A small disk in memory, and pens to write tables with.
struct TestDisk {
  explicit TestDisk(std::uint32_t sector = 512) : sector_bytes(sector), bytes(kDiskBytes) {}

  std::span<std::byte> at(std::uint64_t sector) { return std::span(bytes).subspan(sector * sector_bytes); }

  void sign(std::uint64_t sector) { store(at(sector).subspan(510), std::array<std::uint8_t, 2>{0x55, 0xAA}); }
  void mbr_entry(std::uint64_t sector, std::size_t index, std::uint8_t type, std::uint32_t first,
                 std::uint32_t count) {
    sign(sector);
    const auto entry = at(sector).subspan(446 + 16 * index);
    entry[4] = std::byte{type};
    store(entry.subspan(8), Le<std::uint32_t>(first));
    store(entry.subspan(12), Le<std::uint32_t>(count));
  }
  void gpt_entry(std::uint32_t index, std::uint64_t first, std::uint64_t last, std::u16string_view name) {
    GptEntry entry{};
    entry.type = *Guid::parse("0fc63daf-8483-4772-8e79-3d69d8477de4");
    entry.unique = *Guid::parse("11111111-2222-3333-4444-555555555555");
    entry.unique.bytes[15] = static_cast<std::uint8_t>(index);
    entry.first_sector = first;
    entry.last_sector = last;
    std::memcpy(entry.name.data(), name.data(), std::min(name.size() * 2, entry.name.size()));
    store(std::span(entries).subspan(index * sizeof(GptEntry)), entry);
  }
  /// Writes both copies and the protective MBR.
  void seal_gpt() {
    mbr_entry(0, 0, 0xEE, 1, 0xFFFFFFFF);
    const std::uint64_t last = bytes.size() / sector_bytes - 1;
    const std::uint64_t entry_sectors = entries.size() / sector_bytes;
    write_copy(1, last, 2);
    write_copy(last, 1, last - entry_sectors);
  }
  void write_copy(std::uint64_t mine, std::uint64_t other, std::uint64_t entries_sector) {
    std::ranges::copy(entries, at(entries_sector).begin());
    GptHeader header{};
    header.signature = kGptSignature;
    header.revision = 0x00010000U;
    header.header_size = static_cast<std::uint32_t>(kGptHeaderBytes);
    header.my_sector = mine;
    header.alternate_sector = other;
    header.disk_guid = *Guid::parse("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
    header.entries_sector = entries_sector;
    header.entry_count = entry_count;
    header.entry_size = entry_size;
    header.entries_crc = crc32(std::span<const std::byte>(entries).first(
        std::min<std::size_t>(entries.size(), std::size_t{entry_count} * entry_size)));
    std::vector<std::byte> sector(sector_bytes);
    seal_gpt_header(sector, header);
    std::ranges::copy(sector, at(mine).begin());
  }

  Result<PartitionTable> table(std::uint32_t logical = 0) const {
    const DiskReader read = [this](DiskOffset from, std::span<std::byte> into) -> Status {
      EXPECT_TRUE(fits_within(from.bytes, into.size(), bytes.size()));
      std::memcpy(into.data(), bytes.data() + from.bytes, into.size());
      return {};
    };
    return read_partition_table(read, bytes.size(), logical == 0 ? sector_bytes : logical);
  }

  std::uint32_t sector_bytes;
  std::vector<std::byte> bytes;
  std::vector<std::byte> entries = std::vector<std::byte>(16 * kKiB);
  std::uint32_t entry_count = 128;
  std::uint32_t entry_size = 128;
};

std::string damage_of(const PartitionTable& table) {
  return table.damage ? std::string(table.damage->id()) : "none";
}
std::vector<std::uint32_t> numbers(const PartitionTable& table) {
  std::vector<std::uint32_t> all;
  for (const Partition& partition : table.partitions) all.push_back(partition.number);
  return all;
}

TEST(PartitionTable, BlankDisksAndFileSystemsHaveNone) {
  TestDisk disk;
  EXPECT_EQ(disk.table()->kind, Kind::kNone);
  disk.mbr_entry(0, 0, 0x83, 2048, 100);
  EXPECT_EQ(disk.table()->kind, Kind::kMbr);
  std::memcpy(&disk.bytes[3], "NTFS", 4);
  EXPECT_EQ(disk.table()->kind, Kind::kNone) << "a boot sector of NTFS";

  TestDisk fat;
  fat.mbr_entry(0, 0, 0x83, 2048, 100);
  fat.bytes[14] = std::byte{32};
  fat.bytes[16] = std::byte{2};
  fat.bytes[21] = std::byte{0xF8};
  EXPECT_EQ(fat.table()->kind, Kind::kNone) << "a boot sector of FAT";

  TestDisk code;
  code.mbr_entry(0, 0, 0x83, 2048, 100);
  code.bytes[446] = std::byte{0x33};
  EXPECT_EQ(code.table()->kind, Kind::kNone) << "no entry begins with 33";

  TestDisk tiny;
  tiny.bytes.resize(100);
  EXPECT_EQ(tiny.table()->kind, Kind::kNone);
}

TEST(PartitionTable, MbrWithLogicalPartitions) {
  TestDisk disk;
  store(disk.at(0).subspan(440), Le<std::uint32_t>(0x0a1b2c3d));
  disk.mbr_entry(0, 0, 0x83, 2048, 1000);
  disk.mbr_entry(0, 3, 0x0F, 4096, 4096);
  disk.mbr_entry(4096, 0, 0x07, 63, 500);
  disk.mbr_entry(4096, 1, 0x05, 1000, 1000);
  disk.mbr_entry(5096, 0, 0x82, 63, 600);
  const auto table = disk.table();
  ASSERT_TRUE(table);
  EXPECT_EQ(table->kind, Kind::kMbr);
  EXPECT_EQ(table->id, "0a1b2c3d");
  EXPECT_EQ(damage_of(*table), "none");
  ASSERT_THAT(numbers(*table), ElementsAre(1, 4, 5, 6));
  EXPECT_EQ(table->partitions[0],
            (Partition{1, {{2048 * 512}, 1000 * 512}, "0x83", "", "0a1b2c3d-01", false}));
  EXPECT_TRUE(table->partitions[1].container);
  EXPECT_EQ(table->partitions[2],
            (Partition{5, {{(4096 + 63) * 512}, 500 * 512}, "0x07", "", "0a1b2c3d-05", false}));
  EXPECT_EQ(table->partitions[3].range.at.bytes, (5096 + 63) * 512U);
}

TEST(PartitionTable, ChainsThatGoNowhereEnd) {
  TestDisk circle;
  circle.mbr_entry(0, 0, 0x05, 4096, 4096);
  circle.mbr_entry(4096, 0, 0x83, 63, 100);
  circle.mbr_entry(4096, 1, 0x05, 1000, 1000);
  circle.mbr_entry(5096, 0, 0x83, 63, 100);
  circle.mbr_entry(5096, 1, 0x05, 0, 1000);
  EXPECT_EQ(damage_of(*circle.table()), "filesystem.extended_chain");
  EXPECT_THAT(numbers(*circle.table()), ElementsAre(1, 5, 6));

  TestDisk away;
  away.mbr_entry(0, 0, 0x05, 4096, 4096);
  away.mbr_entry(4096, 1, 0x05, 5000, 1000);
  EXPECT_EQ(damage_of(*away.table()), "filesystem.extended_chain");

  TestDisk broken;
  broken.mbr_entry(0, 0, 0x05, 4096, 4096);
  broken.mbr_entry(4096, 0, 0x83, 63, 100);
  broken.mbr_entry(4096, 1, 0x05, 1000, 1000);
  EXPECT_EQ(damage_of(*broken.table()), "filesystem.extended_chain");
  EXPECT_THAT(numbers(*broken.table()), ElementsAre(1, 5));

  TestDisk empty;
  empty.mbr_entry(0, 0, 0x05, 4096, 4096);
  EXPECT_EQ(damage_of(*empty.table()), "none") << "an extended partition without any logical one";

  TestDisk endless;
  endless.mbr_entry(0, 0, 0x05, 16, 16000);
  for (std::uint32_t link = 0; link < 1000; ++link) {
    endless.mbr_entry(16 + 4 * link, 0, 0x83, 1, 1);
    endless.mbr_entry(16 + 4 * link, 1, 0x05, 4 * (link + 1), 4);
  }
  EXPECT_EQ(endless.table()->partitions.back().number, kMostPartitions);
}

TEST(PartitionTable, PartitionsBeyondTheDiskAreToldAndLeftOut) {
  TestDisk disk;
  disk.mbr_entry(0, 0, 0x83, 2048, 100);
  disk.mbr_entry(0, 1, 0x83, 16000, 1000);
  EXPECT_EQ(damage_of(*disk.table()), "filesystem.partition_range");
  EXPECT_THAT(numbers(*disk.table()), ElementsAre(1));

  TestDisk gpt;
  gpt.gpt_entry(0, 2048, 4095, u"good");
  gpt.gpt_entry(1, 5000, 4096, u"ends before it begins");
  gpt.gpt_entry(2, 5000, ~std::uint64_t{0}, u"endless");
  gpt.gpt_entry(3, 0, ~std::uint64_t{0}, u"the whole world");
  gpt.seal_gpt();
  EXPECT_EQ(damage_of(*gpt.table()), "filesystem.partition_range");
  EXPECT_THAT(numbers(*gpt.table()), ElementsAre(1));
}

TEST(PartitionTable, GptNumbersByPlace) {
  for (const std::uint32_t sector : {512U, 4096U}) {
    TestDisk disk(sector);
    disk.gpt_entry(0, 256, 511, u"système");
    disk.gpt_entry(7, 600, 600, u"thirty-six characters fill the field");
    disk.seal_gpt();
    const auto table = disk.table();
    ASSERT_TRUE(table);
    EXPECT_EQ(table->kind, Kind::kGpt);
    EXPECT_EQ(table->id, "caa16737-fa36-4d43-b3b6-33f0aa44e76b");
    EXPECT_EQ(table->sector_bytes, sector);
    EXPECT_FALSE(table->from_backup);
    EXPECT_EQ(damage_of(*table), "none");
    ASSERT_THAT(numbers(*table), ElementsAre(1, 8));
    EXPECT_EQ(table->partitions[0].name, "système");
    EXPECT_EQ(table->partitions[0].type, "0fc63daf-8483-4772-8e79-3d69d8477de4");
    EXPECT_EQ(table->partitions[0].uuid, "11111111-2222-3333-4444-555555555500");
    EXPECT_EQ(table->partitions[0].range, (DiskRange{{256ULL * sector}, 256ULL * sector}));
    EXPECT_EQ(table->partitions[1].name, "thirty-six characters fill the field");
  }
}

TEST(PartitionTable, GptOfAnotherSectorSizeIsRead) {
  TestDisk disk(4096);
  disk.gpt_entry(0, 256, 511, u"data");
  disk.seal_gpt();
  const auto table = disk.table(512);
  EXPECT_EQ(table->sector_bytes, 4096U);
  EXPECT_EQ(table->partitions.at(0).range.at.bytes, 256U * 4096);
}

TEST(PartitionTable, BackupStandsInForADamagedPrimary) {
  TestDisk disk;
  disk.gpt_entry(2, 2048, 4095, u"data");
  disk.seal_gpt();
  disk.at(2)[300] ^= std::byte{1};  // the primary's entries
  EXPECT_TRUE(disk.table()->from_backup);
  EXPECT_THAT(numbers(*disk.table()), ElementsAre(3));
  disk.at(1)[0] = std::byte{0};
  EXPECT_TRUE(disk.table()->from_backup);
  disk.at(disk.bytes.size() / 512 - 1)[20] ^= std::byte{1};
  EXPECT_EQ(damage_of(*disk.table()), "filesystem.gpt_damaged");
  EXPECT_TRUE(disk.table()->partitions.empty());
}

TEST(PartitionTable, AbsurdGptHeadersAreNone) {
  TestDisk huge;
  huge.entry_count = 0xFFFFFFFF;
  huge.seal_gpt();
  EXPECT_EQ(damage_of(*huge.table()), "filesystem.gpt_damaged");

  TestDisk small;
  small.entry_size = 64;
  small.seal_gpt();
  EXPECT_EQ(damage_of(*small.table()), "filesystem.gpt_damaged");

  TestDisk elsewhere;
  elsewhere.seal_gpt();
  elsewhere.write_copy(1, 5, 2);
  elsewhere.write_copy(elsewhere.bytes.size() / 512 - 1, 5, 100);
  std::vector<std::byte> sector(512);
  GptHeader header = load<GptHeader>(elsewhere.at(1));
  header.entries_sector = ~std::uint64_t{0} / 512;
  seal_gpt_header(sector, header);
  std::ranges::copy(sector, elsewhere.at(1).begin());
  EXPECT_TRUE(elsewhere.table()->from_backup);
}

TEST(PartitionTable, FailuresOfTheDiskAreNotDamage) {
  const DiskReader read = [](DiskOffset, std::span<std::byte>) -> Status {
    return fail(io::faults::kDevice, "the disk is broken");
  };
  const auto table = read_partition_table(read, kDiskBytes, 512);
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().id(), "io.device");
}

}  // namespace
}  // namespace vdisk::filesystem
