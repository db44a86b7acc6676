// SPDX-License-Identifier: Apache-2.0
//
// Cases 40, 48, 52, 54 to 58 of formats.md 6, on VHDX files read through Disk.
#include "support.h"

namespace vdisk::corners {
namespace {

using testing::LogWrite;
using testing::VhdxLogBuilder;
using vhdx::PayloadState;

using VhdxCorner = CornerCase;

constexpr std::uint64_t kPage = 4096;

TEST_F(VhdxCorner, No40_RegionTableMetadataAndBatAreReadAfterReplay) {
  VhdxLogBuilder log;
  VhdxBuilder builder(8 * kMiB);
  builder.log_guid(log.guid());
  builder.present(2);
  builder.write(2 * kMiB, kMiB, 0x77);
  const std::uint64_t log_offset = builder.log_offset();
  const std::uint64_t metadata = builder.metadata_offset();
  const std::uint64_t bat = builder.bat_offset();
  auto file = builder.build();
  // Both region tables, the metadata and the BAT stand in the log alone.
  std::vector<LogWrite> writes;
  for (const std::uint64_t at : {vhdx::kRegionTableAt[0], vhdx::kRegionTableAt[1], metadata, bat}) {
    writes.push_back(testing::take_page(*file, at));
  }
  for (std::uint64_t page = 1; page < 16; ++page) {
    writes.push_back(testing::take_page(*file, vhdx::kRegionTableAt[0] + page * kPage));
    writes.push_back(testing::take_page(*file, vhdx::kRegionTableAt[1] + page * kPage));
  }
  log.add({.writes = writes});
  testing::put_log(*file, log_offset, log);
  const std::string image = folder_.save("dirty.vhdx", *file);
  const auto before = testing::state_of(image);
  const Disk disk = must_open(image);
  EXPECT_EQ(byte_at(disk, 2 * kMiB), 0x77);
  EXPECT_EQ(byte_at(disk, 3 * kMiB - 1), 0x77);
  EXPECT_EQ(byte_at(disk, 3 * kMiB), 0);
  EXPECT_EQ(testing::state_of(image), before);
}

TEST_F(VhdxCorner, No48_RetiredEntriesDoNotReachUserData) {
  VhdxLogBuilder log;
  VhdxBuilder builder(8 * kMiB);
  builder.log_guid(log.guid());
  const std::uint64_t payload = builder.present(1);
  builder.write(kMiB, kMiB, 0x55);
  const std::uint64_t log_offset = builder.log_offset();
  auto file = builder.build();
  // The first entry was applied and retired long ago; since then its page became payload.
  const std::uint64_t second = log.add({.sequence = 1, .writes = {LogWrite::pattern(payload, 9)}});
  log.add({.at = second, .sequence = 2, .tail = second});
  testing::put_log(*file, log_offset, log);
  EXPECT_EQ(byte_at(folder_.save("dirty.vhdx", *file), kMiB), 0x55);
}

TEST_F(VhdxCorner, No54_MoreThan126Descriptors) {
  for (const std::uint64_t count : {126U, 127U, 254U, 255U, 300U}) {
    VhdxLogBuilder log(4 * kMiB);
    VhdxBuilder builder(8 * kMiB, 2 * kMiB);
    builder.log_length(4 * kMiB).log_guid(log.guid());
    const std::uint64_t payload = builder.present(0);
    for (std::uint64_t page = 0; page < 512; ++page) {
      builder.write(page * kPage, kPage, static_cast<std::uint8_t>(page % 251 + 1));
    }
    const std::uint64_t log_offset = builder.log_offset();
    auto file = builder.build();
    std::vector<LogWrite> writes;
    for (std::uint64_t page = 0; page < count; ++page) {
      writes.push_back(testing::take_page(*file, payload + page * kPage));
    }
    log.add({.writes = writes});
    testing::put_log(*file, log_offset, log);
    const Disk disk = must_open(folder_.save("dirty.vhdx", *file));
    for (std::uint64_t page = 0; page < 512; ++page) {
      ASSERT_EQ(byte_at(disk, page * kPage + 17), static_cast<int>(page % 251 + 1)) << count << ' ' << page;
    }
  }
}

TEST_F(VhdxCorner, No55_TheLastChunksBitmapEntryExistsOnlyWithAParent) {
  // Blocks of 2 MiB and sectors of 512: a chunk is 2048 blocks, 4 GiB.
  for (const std::uint64_t blocks : {2047U, 2048U, 2049U, 4096U}) {
    VhdxBuilder dynamic(blocks * 2 * kMiB, 2 * kMiB);
    dynamic.present(blocks - 1);
    dynamic.write((blocks - 1) * 2 * kMiB, 512, 7);
    const Disk disk = must_open(save("disk.vhdx", dynamic));
    EXPECT_EQ(byte_at(disk, (blocks - 1) * 2 * kMiB), 7) << blocks;
    EXPECT_EQ(byte_at(disk, blocks * 2 * kMiB - 1), 0) << blocks;

    VhdxBuilder base(blocks * 2 * kMiB, 2 * kMiB);
    save("base.vhdx", identify(base, 1));
    VhdxBuilder child(blocks * 2 * kMiB, 2 * kMiB);
    child.differencing(link_to(1, {{u"relative_path", u".\\base.vhdx"}}));
    child.partial(blocks - 1);
    child.set_bits(blocks * 4096 - 1, 1);
    child.write(blocks * 2 * kMiB - 512, 512, 9);
    const Disk both = must_open(save("child.vhdx", child));
    EXPECT_EQ(byte_at(both, blocks * 2 * kMiB - 1), 9) << blocks;
    EXPECT_EQ(byte_at(both, blocks * 2 * kMiB - 513), 0) << blocks;
  }
}

TEST_F(VhdxCorner, No56_PayloadEntriesPassOverBitmapEntries) {
  constexpr std::uint64_t kBlock = 2 * kMiB;
  VhdxBuilder builder(7000 * kBlock, kBlock);
  const std::vector<std::uint64_t> blocks = {0, 2047, 2048, 2049, 4095, 4096, 6143, 6144, 6999};
  for (const std::uint64_t block : blocks) {
    builder.present(block);
    builder.write(block * kBlock, 512, static_cast<std::uint8_t>(block % 250 + 1));
  }
  const Disk disk = must_open(save("disk.vhdx", builder));
  for (const std::uint64_t block : blocks) {
    EXPECT_EQ(byte_at(disk, block * kBlock), static_cast<int>(block % 250 + 1)) << block;
    EXPECT_EQ(byte_at(disk, block * kBlock + 512), 0) << block;
  }
  EXPECT_EQ(byte_at(disk, 2050 * kBlock), 0);
  EXPECT_EQ(byte_at(disk, 6145 * kBlock), 0);
}

TEST_F(VhdxCorner, No57_ChunksAreEightTimesAsLongWithSectorsOf4096) {
  // A ratio of 16384 with blocks of 2 MiB: 32 GiB.
  constexpr std::uint64_t kBlock = 2 * kMiB;
  const auto make = [&](std::uint8_t value, auto&& declare) {
    VhdxBuilder builder(16400 * kBlock, kBlock);
    builder.sectors(4096, 4096);
    declare(builder);
    for (const std::uint64_t block : {2048U, 16383U, 16384U}) {
      const std::uint64_t at = block * kBlock + value * 4096;
      if (value == 1) {
        builder.present(block);
      } else {
        builder.partial(block);
        builder.set_bits(at / 4096, 1);
      }
      builder.write(at, 4096, value);
    }
    return builder;
  };
  save("base.vhdx", make(1, [](VhdxBuilder& b) { identify(b, 1); }));
  const std::string child = save("child.vhdx", make(2, [](VhdxBuilder& b) {
                                   b.differencing(link_to(1, {{u"relative_path", u".\\base.vhdx"}}));
                                 }));
  const Disk disk = must_open(child);
  EXPECT_EQ(disk.geometry().logical_sector_bytes, 4096U);
  for (const std::uint64_t block : {2048U, 16383U, 16384U}) {
    EXPECT_EQ(byte_at(disk, block * kBlock + 4096), 1) << block;
    EXPECT_EQ(byte_at(disk, block * kBlock + 2 * 4096), 2) << block;
    EXPECT_EQ(byte_at(disk, block * kBlock + 3 * 4096 - 1), 2) << block;
    EXPECT_EQ(byte_at(disk, block * kBlock + 3 * 4096), 0) << block;
  }
}

TEST_F(VhdxCorner, No58_OnlyStateZeroShowsTheParent) {
  VhdxBuilder base(8 * kMiB);
  identify(base, 1);
  for (std::uint64_t block = 0; block < 8; ++block) {
    base.present(block);
    base.write(block * kMiB, kMiB, 0xEE);
  }
  save("base.vhdx", base);
  VhdxBuilder child(8 * kMiB);
  child.differencing(link_to(1, {{u"relative_path", u".\\base.vhdx"}}));
  child.state(1, PayloadState::kUndefined).state(2, PayloadState::kZero).state(3, PayloadState::kUnmapped);
  child.present(4);
  child.write(4 * kMiB, 1, 4);
  const Disk disk = must_open(save("child.vhdx", child));
  EXPECT_EQ(byte_at(disk, 0), 0xEE);
  for (std::uint64_t block = 1; block <= 3; ++block) EXPECT_EQ(byte_at(disk, block * kMiB), 0) << block;
  EXPECT_EQ(byte_at(disk, 4 * kMiB), 4);
  EXPECT_EQ(byte_at(disk, 4 * kMiB + 1), 0) << "all of a fully present block is the child's own";
  EXPECT_EQ(byte_at(disk, 5 * kMiB), 0xEE);
}

}  // namespace
}  // namespace vdisk::corners
