// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/bat.h"

#include <gtest/gtest.h>

#include <random>

#include "format/vhdx/layout.h"
#include "format/vhdx/sector_bitmap.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }

TEST(BatGeometry, Case55Counts) {
  struct Row {
    std::uint32_t sector, block;
    std::uint64_t size, ratio, payload, chunks, dynamic, differencing;
  };
  // The table of formats.md 2.8.
  const Row rows[] = {
      {512, 2 * kMiB, 8 * kGiB, 2048, 4096, 2, 4097, 4098},
      {512, 32 * kMiB, 10 * kGiB, 128, 320, 3, 322, 387},
      {512, 2 * kMiB, 4 * kGiB, 2048, 2048, 1, 2048, 2049},
      {512, 2 * kMiB, 4 * kGiB + 512, 2048, 2049, 2, 2050, 4098},
      {512, 256 * kMiB, 3 * kMiB, 16, 1, 1, 1, 17},
      {4096, kMiB, kTiB, 32768, 1048576, 32, 1048607, 1048608},
      {4096, 256 * kMiB, 64 * kTiB, 128, 262144, 2048, 264191, 264192},
      {512, kMiB, 64 * kTiB, 4096, 67108864, 16384, 67125247, 67125248},
  };
  for (const Row& row : rows) {
    const auto dynamic = BatGeometry::of(row.size, row.block, row.sector, false);
    const auto differencing = BatGeometry::of(row.size, row.block, row.sector, true);
    EXPECT_EQ(dynamic.chunk_ratio(), row.ratio);
    EXPECT_EQ(dynamic.payload_blocks, row.payload);
    EXPECT_EQ(dynamic.chunks, row.chunks);
    EXPECT_EQ(dynamic.entry_count, row.dynamic);
    EXPECT_EQ(differencing.entry_count, row.differencing);
  }
}

TEST(BatGeometry, Case57ChunkRatioWithSectorsOf4096) {
  for (std::uint32_t block = kMiB; block <= 256 * kMiB; block *= 2) {
    EXPECT_EQ(BatGeometry::of(kTiB, block, 4096, false).chunk_ratio(),
              8 * BatGeometry::of(kTiB, block, 512, false).chunk_ratio());
  }
}

TEST(BatGeometry, Case56IndexesPassOverBitmapEntries) {
  const auto g = BatGeometry::of(10 * kTiB, 256 * kMiB, 512, true);
  std::uint64_t index = 0;
  for (std::uint64_t block = 0; block < 100; ++block, ++index) {
    if (g.is_bitmap_index(index)) {
      EXPECT_EQ(g.bitmap_index(block / 16 - 1), index);
      EXPECT_EQ(g.block_from_index(index), block);
      ++index;
    }
    EXPECT_EQ(g.payload_index(block), index);
    EXPECT_EQ(g.block_from_index(index), block);
    EXPECT_EQ(g.chunk_of_index(index), block / 16);
  }
}

TEST(Bat, TooShortRegion) {
  VhdxBuilder b(200 * kGiB);  // 204,848 entries: 2 MiB.
  EXPECT_EQ(open_fault(b.edit_regions([](auto& r) { r[0].length = kMiB; }).build()), "vhdx.bat.size");
}

TEST(Bat, StatesByType) {
  const auto fault = [](VhdxBuilder b, unsigned state) {
    b.present(1);
    const std::uint64_t place = state < 6 ? 0 : b.take(1);
    b.raw_entry(0, place | state);
    return open_fault(b.build());
  };
  for (const unsigned state : {0u, 1u, 2u, 3u, 6u}) {
    EXPECT_EQ(fault(small(), state), "");
    EXPECT_EQ(fault(small().fixed(), state), "") << "case 88";
    EXPECT_EQ(fault(small().differencing(), state), "");
  }
  for (const unsigned state : {4u, 5u}) {  // Case 63: 5 was UNMAPPED in a draft.
    EXPECT_EQ(fault(small(), state), "vhdx.bat.state");
    EXPECT_EQ(fault(small().differencing(), state), "vhdx.bat.state");
  }
  // Case 59 and case 60.
  EXPECT_EQ(fault(small(), 7), "vhdx.bat.state");
  EXPECT_EQ(fault(small().fixed(), 7), "vhdx.bat.state");
  EXPECT_EQ(fault(small().differencing(), 7), "vhdx.bat.bitmap_missing");
  VhdxBuilder b = small();
  b.raw_entry(0, 4);
  EXPECT_EQ(open_code(b.build()), 0xC03A000Au);
}

TEST(Bat, BitmapEntries) {
  const auto fault = [](VhdxBuilder b, std::uint64_t entry) {
    b.raw_entry(b.bitmap_index(0), entry);
    return open_fault(b.build());
  };
  // Case 41: images without a parent exist whose bitmap entries say "present".
  EXPECT_EQ(fault(VhdxBuilder(5 * kGiB), 6 | 0xFFFFFF00000), "");
  EXPECT_EQ(fault(small().differencing(), 1), "vhdx.bat.state");
  EXPECT_EQ(fault(small().differencing(), 7), "vhdx.bat.state");
  EXPECT_EQ(fault(small().differencing(), 6 | 0xFFFFFF00000), "vhdx.bat.place");
}

TEST(Bat, Places) {
  const auto fault = [](std::uint64_t place) {
    VhdxBuilder b = small();
    b.present(1);
    b.raw_entry(0, place | 6);
    return open_fault(b.build());
  };
  VhdxBuilder b = small();
  EXPECT_EQ(fault(0), "vhdx.bat.place");
  EXPECT_EQ(fault(b.log_offset()), "vhdx.bat.place");
  EXPECT_EQ(fault(b.metadata_offset()), "vhdx.bat.place");
  EXPECT_EQ(fault(b.bat_offset()), "vhdx.bat.place");
  EXPECT_EQ(fault(b.end_offset() + kMiB), "vhdx.bat.place") << "past the end";
  EXPECT_EQ(fault(kBatOffsetMask), "vhdx.bat.place") << "no overflow";
  EXPECT_EQ(fault(b.end_offset()), "vhdx.bat.overlap");
}

TEST(Bat, Case64Overlaps) {
  VhdxBuilder payloads(16 * kMiB, 2 * kMiB);
  const std::uint64_t at = payloads.present(5);
  payloads.take(4);
  payloads.raw_entry(payloads.payload_index(2), (at + kMiB) | 6);
  EXPECT_EQ(open_fault(payloads.build()), "vhdx.bat.overlap");
  VhdxBuilder bitmap = VhdxBuilder(16 * kMiB, 2 * kMiB).differencing();
  const std::uint64_t payload = bitmap.present(0);
  bitmap.raw_entry(bitmap.bitmap_index(0), (payload + kMiB) | 6);
  EXPECT_EQ(open_fault(bitmap.build()), "vhdx.bat.overlap");
}

TEST(Bat, Case61And62OffsetsOfBlocksThatAreNotRead) {
  for (const unsigned state : {0u, 1u, 2u, 3u}) {
    VhdxBuilder b = small();
    const std::uint64_t anchor = b.take(1);
    b.raw_entry(0, anchor | state);
    b.raw_entry(1, (std::uint64_t{1} << 60) | state);
    const auto image = must_open(b.build());
    EXPECT_EQ(shown(*image, 0, 2 * kMiB), std::vector<int>(2 * kMiB, 0));
    EXPECT_EQ(image->allocated_bytes(), 0u);
  }
}

TEST(Bat, EntriesBehindTheEndAreIgnored) {
  VhdxBuilder b(3 * kMiB);
  b.present(2);
  for (std::uint64_t i = 3; i < 1024; ++i) b.raw_entry(i, 5);
  EXPECT_EQ(shown(*must_open(b.build()), 2 * kMiB, kMiB).size(), kMiB);
  VhdxBuilder d = VhdxBuilder(3 * kMiB).differencing();
  d.raw_entry(3, 5).raw_entry(100, 7);
  d.partial(0);
  EXPECT_EQ(open_fault(d.build()), "");
}

TEST(Bat, ReservedBitsAreTolerated) {
  VhdxBuilder b = small();
  const std::uint64_t at = b.present(0);
  b.raw_entry(0, at | 6 | 0x80);
  EXPECT_EQ(open_fault(b.build()), "");
}

TEST(Bat, LargeTablesAreJudgedPageByPage) {
  VhdxBuilder b(kTiB);
  b.present(0);
  b.raw_entry(b.payload_index(1'000'000), 5);
  const auto image = must_open(b.build());
  RunList runs;
  EXPECT_TRUE(image->resolve_read({DiskOffset{0}, 4096}, runs));
  const auto bad = image->resolve_read({DiskOffset{1'000'000 * kMiB}, 4096}, runs);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().id(), "vhdx.bat.state");
  EXPECT_NE(bad.error().message().find("BAT page"), std::string::npos);
  // A page that failed is judged anew, not remembered as good.
  EXPECT_FALSE(image->resolve_read({DiskOffset{1'000'000 * kMiB}, 4096}, runs));
}

TEST(Bat, LargeTablesMissABitmapWhenItIsUsed) {
  VhdxBuilder b = VhdxBuilder(kTiB).differencing();
  b.present(5, PayloadState::kPartiallyPresent);
  const auto image = must_open(b.build());
  RunList runs;
  const auto bad = image->resolve_read({DiskOffset{5 * kMiB}, 4096}, runs);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().id(), "vhdx.bat.bitmap_missing");
}

TEST(SectorBitmap, ScanAgreesWithBitByBit) {
  std::mt19937_64 random(7);
  std::vector<std::byte> bytes(64);
  for (int round = 0; round < 2000; ++round) {
    // Long runs and short ones.
    const int density = round % 4;
    for (std::byte& b : bytes) {
      b = density == 0 ? std::byte(random()) : density == 1 ? std::byte{0} : std::byte{0xFF};
      if (random() % 13 == 0) b ^= std::byte(1 << random() % 8);
    }
    const auto bit = [&](std::uint64_t i) {
      return (bytes[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0};
    };
    const std::uint64_t from = random() % 512;
    const std::uint64_t until = from + 1 + random() % (512 - from);
    std::uint64_t end = from;
    while (end < until && bit(end) == bit(from)) ++end;
    const BitRun run = scan_bits(bytes, from, until);
    ASSERT_EQ(run.value, bit(from));
    ASSERT_EQ(run.end, end) << from << " " << until;
  }
}

}  // namespace
}  // namespace vdisk::vhdx
