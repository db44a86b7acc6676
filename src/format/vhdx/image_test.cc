// SPDX-License-Identifier: Apache-2.0
//
// Opening and reading whole images. "Case N" is a number of formats.md 6.
#include "format/vhdx/image.h"

#include <gtest/gtest.h>

#include <random>

#include "testing/counting_file.h"
#include "testing/heap_counter.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

using Source = Run::Source;
using vdisk::testing::CountingFile;
using vdisk::testing::HeapCounter;
using vdisk::testing::IoCounts;

TEST(Image, DynamicDiskOfOneBlock) {
  VhdxBuilder b(4 * kMiB);
  const std::uint64_t at = b.present(1);
  b.write(kMiB + 5, 3, 0xAA);
  const auto image = must_open(b.build());
  EXPECT_EQ(image->properties().type, DiskType::kDynamic);
  EXPECT_EQ(image->properties().geometry.virtual_size_bytes, 4 * kMiB);
  EXPECT_EQ(image->properties().geometry.physical_sector_bytes, 4096u);
  EXPECT_EQ(image->properties().geometry.block_bytes, kMiB);
  EXPECT_EQ(image->properties().identifier, VhdxBuilder::kDataWriteGuid);
  EXPECT_EQ(image->properties().virtual_disk_id, VhdxBuilder::kDiskId);
  EXPECT_EQ(image->properties().creator, "vdisk tests");
  EXPECT_FALSE(image->properties().dirty_log);
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{0}, 4 * kMiB}, runs), 4 * kMiB);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].source, Source::kZero);
  EXPECT_EQ(runs[1].source, Source::kFile);
  EXPECT_EQ(runs[1].from.bytes, at);
  EXPECT_EQ(runs[1].length, kMiB);
  EXPECT_EQ(runs[2].source, Source::kZero);
  EXPECT_EQ(image->allocated_bytes(), kMiB);
  EXPECT_EQ(shown(*image, kMiB + 4, 5), (std::vector<int>{0, 0xAA, 0xAA, 0xAA, 0}));
}

TEST(Image, Case58StatesOfADifferencingDisk) {
  VhdxBuilder b = VhdxBuilder(8 * kMiB).differencing();
  b.state(1, PayloadState::kUndefined).state(2, PayloadState::kZero).state(3, PayloadState::kUnmapped);
  b.present(4);
  b.write(4 * kMiB, 1, 9);
  const auto image = must_open(b.build());
  EXPECT_EQ(shown(*image, 0, 1)[0], -1) << "only NOT_PRESENT lets the parent through";
  for (const int block : {1, 2, 3}) {
    EXPECT_EQ(shown(*image, static_cast<std::uint64_t>(block) * kMiB, 1)[0], 0) << block;
  }
  EXPECT_EQ(shown(*image, 4 * kMiB, 2), (std::vector<int>{9, 0}));
  EXPECT_EQ(shown(*image, 5 * kMiB, 1)[0], -1);
}

TEST(Image, Case59FullyPresentIgnoresBitmapBits) {
  VhdxBuilder b = VhdxBuilder(4 * kMiB).differencing();
  b.bitmap(0);
  b.present(0);
  b.write(0, kMiB, 3);
  EXPECT_EQ(shown(*must_open(b.build()), 0, kMiB), std::vector<int>(kMiB, 3));
}

TEST(Image, BitmapsAreLeastSignificantBitFirst) {
  VhdxBuilder b = VhdxBuilder(4 * kMiB).differencing();
  b.partial(1);
  b.set_bits(2048 + 1, 1).set_bits(2048 + 10, 3);
  b.write(kMiB, kMiB, 4);
  const auto image = must_open(b.build());
  std::vector<int> expected(16 * 512, -1);
  std::fill_n(expected.begin() + 512, 512, 4);
  std::fill_n(expected.begin() + 10 * 512, 3 * 512, 4);
  EXPECT_EQ(shown(*image, kMiB, 16 * 512), expected);
  EXPECT_EQ(shown(*image, kMiB + 1000, 100),
            std::vector<int>(expected.begin() + 1000, expected.begin() + 1100));
}

TEST(Image, Case67LastBlockIsClipped) {
  VhdxBuilder b(5 * kMiB, 2 * kMiB);
  b.present(2);
  b.write(5 * kMiB - 1, 1, 8);
  const auto image = must_open(b.build());
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{4 * kMiB}, kMiB}, runs), kMiB);
  EXPECT_EQ(image->allocated_bytes(), kMiB);
  EXPECT_EQ(shown(*image, 5 * kMiB - 1, 1)[0], 8);
}

TEST(Image, Case65And66FileThatEndsInsideItsLastMiB) {
  VhdxBuilder whole(4 * kMiB);
  whole.present(0);
  EXPECT_EQ(open_fault(whole.build(whole.end_offset() + 512)), "") << "Disk2vhd";
  VhdxBuilder b(4 * kMiB, 2 * kMiB);
  b.present(0);
  b.write(0, 2 * kMiB, 6);
  auto image = must_open(b.build(b.end_offset() - 1000));
  auto expected = std::vector<int>(2000, 6);
  std::fill_n(expected.end() - 1000, 1000, 0);
  EXPECT_EQ(shown(*image, 2 * kMiB - 2000, 2000), expected);
  EXPECT_EQ(shown(*image, 2 * kMiB - 500, 500), std::vector<int>(500, 0));
  VhdxBuilder lost(4 * kMiB, 2 * kMiB);
  lost.present(0);
  EXPECT_EQ(open_fault(lost.build(lost.end_offset() - kMiB)), "vhdx.bat.place");
}

TEST(Image, Case69SectorsOf4096) {
  VhdxBuilder b = VhdxBuilder(64 * kMiB, 2 * kMiB).sectors(4096, 4096).differencing();
  b.partial(3);
  b.set_bits(6 * kMiB / 4096 + 2, 1);
  b.write(6 * kMiB, 2 * kMiB, 1);
  const auto image = must_open(b.build());
  std::vector<int> expected(16384, -1);
  std::fill_n(expected.begin() + 8192, 4096, 1);
  EXPECT_EQ(shown(*image, 6 * kMiB, 16384), expected);
}

TEST(Image, Case88FixedDiskWithOtherStates) {
  VhdxBuilder b = VhdxBuilder(4 * kMiB).fixed();
  b.present(0);
  b.state(1, PayloadState::kZero);
  const auto image = must_open(b.build());
  EXPECT_EQ(image->properties().type, DiskType::kFixed);
  EXPECT_EQ(shown(*image, kMiB - 1, 3), (std::vector<int>{0, 0, 0}));
}

TEST(Image, NeighbouringBlocksAreOneRun) {
  VhdxBuilder b(300 * kMiB);
  for (std::uint64_t block = 0; block < 300; ++block) b.present(block);
  const auto image = must_open(b.build());
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{100}, 300 * kMiB - 200}, runs), 300 * kMiB - 200);
  EXPECT_EQ(runs.size(), 1u);
}

TEST(Image, FullRunListEndsTheAnswerEarly) {
  VhdxBuilder b(100 * kMiB);
  for (std::uint64_t block = 0; block < 100; block += 2) b.present(block);
  const auto image = must_open(b.build());
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{0}, 100 * kMiB}, runs), 32 * kMiB);
  EXPECT_EQ(runs.size(), RunList::kCapacity);
}

/// A disk of random states and bits, read in random pieces, against a model of its sectors.
void compare_with_model(std::uint32_t sector, std::uint32_t block, bool differencing, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  // Past the first chunk (case 56), with an odd tail, and few blocks of it in use.
  const std::uint64_t chunk_bytes = (std::uint64_t{1} << 23) * sector;
  const std::uint64_t size = chunk_bytes + 3 * block + 5 * sector;
  VhdxBuilder b(size, block);
  b.sectors(sector, 4096);
  if (differencing) b.differencing();
  std::vector<std::uint64_t> used = {
      0, 1, chunk_bytes / block - 1, chunk_bytes / block, chunk_bytes / block + 1, chunk_bytes / block + 3};
  std::map<std::uint64_t, int> model;  // By sector: what it shows where it is not the default.
  for (const std::uint64_t n : used) {
    const std::uint64_t first = n * block / sector;
    const std::uint64_t count = std::min<std::uint64_t>(block, size - n * block) / sector;
    const std::uint64_t states[] = {0, 1, 2, 3, 6, 7};
    const auto state = static_cast<PayloadState>(states[random() % (differencing ? 6 : 5)]);
    if (state == PayloadState::kPartiallyPresent) {
      b.partial(n);
    } else if (state == PayloadState::kFullyPresent) {
      b.present(n);
    } else {
      b.state(n, state);
      if (state != PayloadState::kNotPresent) {
        for (std::uint64_t s = 0; s < count; ++s) model[first + s] = 0;
      }
      continue;
    }
    for (std::uint64_t s = 0; s < count;) {
      const std::uint64_t run =
          std::min<std::uint64_t>(1 + random() % (random() % 3 == 0 ? 700 : 9), count - s);
      const int value = static_cast<int>(random() % 255) + 1;
      const bool here = state == PayloadState::kFullyPresent || random() % 2 == 0;
      b.write((first + s) * sector, run * sector, static_cast<std::uint8_t>(value));
      if (here) {
        if (differencing && state == PayloadState::kPartiallyPresent) b.set_bits(first + s, run);
        for (std::uint64_t i = 0; i < run; ++i) model[first + s + i] = value;
      }
      s += run;
    }
  }
  const auto image = must_open(b.build());
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t near = used[random() % used.size()] * block;
    const std::uint64_t at = std::min(near + random() % (block + block / 4), size - 1);
    const std::uint64_t length = std::min<std::uint64_t>(1 + random() % (64 * sector), size - at);
    const auto bytes = shown(*image, at, length);
    std::vector<int> expected;
    for (std::uint64_t i = 0; i < length;) {
      const auto known = model.find((at + i) / sector);
      const std::uint64_t run = std::min(sector - (at + i) % sector, length - i);
      expected.insert(expected.end(), run, known != model.end() ? known->second : differencing ? -1 : 0);
      i += run;
    }
    ASSERT_TRUE(bytes == expected) << "offset " << at << " seed " << seed;
  }
}

TEST(Image, AgreesWithAModel) {
  std::uint64_t seed = 1;
  for (const std::uint32_t sector : {512u, 4096u}) {
    for (const std::uint32_t block : {std::uint32_t{kMiB}, std::uint32_t{4 * kMiB}}) {
      for (const bool differencing : {false, true}) {
        for (int i = 0; i < 2; ++i) compare_with_model(sector, block, differencing, seed++);
      }
    }
  }
}

TEST(Image, Case85Opening64TiBIsCheap) {
  VhdxBuilder b = VhdxBuilder(64 * kTiB).differencing();
  b.partial(67'000'000);
  b.set_bits(67'000'000 * 2048ull, 1);
  IoCounts counts;
  std::unique_ptr<File> file = std::make_unique<CountingFile>(b.build(), counts);
  HeapCounter heap;
  const auto image = open(std::move(file));
  const std::uint64_t peak = heap.peak_bytes();
  ASSERT_TRUE(image);
  EXPECT_LE(counts.reads, 16u);
  EXPECT_LE(counts.bytes_read, 256 * kKiB);
  EXPECT_LE(peak, kMiB);
  EXPECT_GT(peak, 0u) << "the counter counts";
  EXPECT_EQ(counts.writes, 0u);
  EXPECT_EQ(counts.flushes, 0u);
}

TEST(Image, Case85RangesNeverAllocatedAreSkipped) {
  VhdxBuilder b(64 * kTiB);
  b.present(40'000'000);
  b.present(67'108'863);
  IoCounts counts;
  const auto image = must_open(std::make_unique<CountingFile>(b.build(), counts));
  const std::uint64_t reads = counts.reads;
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{0}, 64 * kTiB}, runs), 64 * kTiB);
  EXPECT_EQ(runs.size(), 4u);
  // A page of MemoryFile is 16 pages of the table: some of its neighbours are looked at, but not 131,104
  // pages.
  EXPECT_LE(counts.reads - reads, 64u);
  EXPECT_EQ(image->allocated_bytes(), 2 * kMiB);
  EXPECT_LE(counts.bytes_read, kMiB);
}

TEST(Image, ReadingAllocatedBlocksAllocatesNothing) {
  VhdxBuilder b = VhdxBuilder(64 * kMiB).differencing();
  for (std::uint64_t block = 0; block < 32; ++block) b.present(block);
  b.partial(40);
  b.set_bits(40 * 2048, 100);
  IoCounts counts;
  const auto image = must_open(std::make_unique<CountingFile>(b.build(), counts));
  RunList runs;
  ASSERT_TRUE(image->resolve_read({DiskOffset{0}, 64 * kMiB}, runs));
  const std::uint64_t reads = counts.reads;
  HeapCounter heap;
  for (std::uint64_t at = 0; at + 4096 <= 44 * kMiB; at += 100'000) {
    ASSERT_TRUE(image->resolve_read({DiskOffset{at}, 4096}, runs));
  }
  EXPECT_EQ(heap.allocations(), 0u);
  EXPECT_EQ(counts.reads, reads);
}

TEST(Image, MemoryOfPagesIsBounded) {
  VhdxBuilder b(64 * kTiB);
  for (std::uint64_t i = 0; i < 10; ++i) b.state(i * 1'000'000, PayloadState::kZero);
  ImageOpen options;
  options.limits.table_bytes = 16 * kKiB;
  const auto image = kFormat.open(b.build(), options);
  ASSERT_TRUE(image);
  RunList runs;
  std::string fault;
  for (std::uint64_t i = 0; i < 10 && fault.empty(); ++i) {
    const auto covered = (*image)->resolve_read({DiskOffset{i * 1'000'000 * kMiB}, 512}, runs);
    if (!covered) fault = covered.error().id();
  }
  EXPECT_EQ(fault, "base.memory");
}

}  // namespace
}  // namespace vdisk::vhdx
