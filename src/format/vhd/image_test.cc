// SPDX-License-Identifier: Apache-2.0
//
// Mapping: against a model, from many threads, with tables of every size, and at what cost.
#include "format/vhd/image.h"

#include <random>
#include <thread>

#include "base/checked.h"
#include "format/vhd/test_support.h"
#include "testing/counting_file.h"
#include "testing/heap_counter.h"

namespace vdisk::vhd {
namespace {

/// Every sector of a disk as it must read: its byte, or unset for "not in this file".
using Model = std::vector<std::optional<std::uint8_t>>;

VhdBuilder random_image(std::mt19937& random, DiskType type, std::uint32_t block_bytes, std::uint64_t sectors,
                        Model& model) {
  auto builder = type == DiskType::kDynamic ? VhdBuilder::dynamic(sectors * 512, block_bytes)
                                            : VhdBuilder::differencing(sectors * 512, block_bytes);
  if (type == DiskType::kDifferencing) builder.parent(vhd_id(2), ".\\base.vhd");
  model.assign(sectors, std::nullopt);
  const std::uint64_t per_block = block_bytes / 512;
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t first = random() % sectors;
    const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 20, sectors - first);
    const auto value = static_cast<std::uint8_t>(1 + random() % 200);
    const bool present = random() % 4 != 0;
    builder.fill(first, count, value);
    if (!present) builder.mark(first, count, false);
    for (std::uint64_t s = first; s < first + count; ++s) {
      if (type ==
          DiskType::kDynamic) {  // Allocation shows the whole block, as zeros where nothing was written.
        const std::uint64_t start = s / per_block * per_block;
        for (std::uint64_t t = start; t < std::min(start + per_block, sectors); ++t)
          model[t] = model[t].value_or(0);
      }
      if (present) {
        model[s] = value;
      } else {
        model[s] = type == DiskType::kDynamic ? std::optional<std::uint8_t>(0) : std::nullopt;
      }
    }
  }
  return builder;
}

TEST(VhdImage, ReadsWhatTheModelSays) {
  std::mt19937 random(20240607);
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    for (const std::uint32_t block : {512u, 1024u, 4096u, 65536u, 1u << 20}) {
      const std::uint64_t sectors = 500 + random() % 3000;
      Model model;
      const auto builder = random_image(random, type, block, sectors, model);
      const auto image = open_image(builder);
      ASSERT_TRUE(image) << image.error().message();
      const std::uint8_t blank = type == DiskType::kDynamic ? 0 : 0xEE;
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t at = random() % (sectors * 512);
        const std::uint64_t length = 1 + random() % std::min<std::uint64_t>(sectors * 512 - at, 100'000);
        const auto bytes = read_disk(**image, at, length);
        std::vector<std::byte> expected(length);
        for (std::uint64_t b = 0; b < length; ++b) {
          expected[b] = static_cast<std::byte>(model[(at + b) / 512].value_or(blank));
        }
        ASSERT_TRUE(bytes == expected) << "block size " << block << ", " << length << " bytes at " << at;
      }
    }
  }
}

TEST(VhdImage, EndsWhereTheRunListIsFull) {
  auto builder = VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd");
  for (std::uint64_t sector = 0; sector < 256; sector += 2) builder.fill(sector, 1, 7);
  const auto image = open_image(builder);
  ASSERT_TRUE(image);
  RunList runs;
  EXPECT_EQ((*image)->resolve_read({DiskOffset{100}, kMiB - 100}, runs).value(), 32 * 512 - 100);
  EXPECT_EQ(runs.size(), RunList::kCapacity);
  const auto bytes = read_disk(**image, 0, kMiB);
  for (std::uint64_t sector = 0; sector < 256; ++sector) {
    EXPECT_EQ(std::to_integer<int>(bytes[sector * 512]), sector % 2 == 0 ? 7 : 0xEE);
  }
}

TEST(VhdImage, NeighbouringBlocksMakeOneRunOfZeros) {
  const auto image = open_image(VhdBuilder::dynamic(100 * kMiB));
  ASSERT_TRUE(image);
  RunList runs;
  EXPECT_EQ((*image)->resolve_read({DiskOffset{1}, 100 * kMiB - 2}, runs).value(), 100 * kMiB - 2);
  EXPECT_EQ(runs.size(), 1u);
}

/// 512 Ki blocks: a table of 2 MiB, which is loaded by pages.
VhdBuilder large_table() { return VhdBuilder::dynamic(256 * kMiB, 512); }

TEST(VhdImage, ALargeTableIsLoadedByPagesAndValidatedThen) {
  const auto builder = large_table().fill(0, 1, 0x10).fill(300'000, 2, 0x30).bat_entry(100'000, 1);
  testing::IoCounts counts;
  const auto image =
      kFormat.open(std::make_unique<testing::CountingFile>(builder.file(), counts), ImageOpen{});
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_LE(counts.reads, 8u);
  EXPECT_LE(counts.bytes_read, 16 * kKiB);
  EXPECT_EQ(byte_at(**image, 0), 0x10);
  EXPECT_EQ(byte_at(**image, 300'001 * 512), 0x30);
  EXPECT_EQ(byte_at(**image, 299'999 * 512), 0);
  RunList runs;
  EXPECT_EQ(fault_of((*image)->resolve_read({DiskOffset{100'000 * 512}, 512}, runs)), "vhd.bat.metadata");
  EXPECT_EQ(fault_of((*image)->allocated_bytes()), "vhd.bat.metadata");
}

TEST(VhdImage, TheLastBlockOfALargeTableIsJudgedAtOpen) {
  // One block of 8 sectors, of which the disk uses one: the file ends behind it.
  const std::uint64_t blocks = 300'000;
  const auto base = VhdBuilder::dynamic((blocks - 1) * 4096 + 512, 4096).fill((blocks - 1) * 8, 1, 0x77);
  const auto builder =
      VhdBuilder(base).omit_end_footer().cut(base.footer_at() - base.block_data_at(blocks - 1) - 512);
  const auto image = open_image(builder);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE((*image)->properties().read_only);
  EXPECT_EQ(byte_at(**image, (blocks - 1) * 4096), 0x77);
  EXPECT_EQ(fault_at_open(builder, true), "vhd.block.short");
}

TEST(VhdImage, AllocatedBytesAreWholeBlocks) {
  EXPECT_EQ(open_image(VhdBuilder::fixed(kMiB)).value()->allocated_bytes().value(), kMiB);
  const auto dynamic = VhdBuilder::dynamic(100 * kMiB).allocate(3).fill(0, 1, 1);
  EXPECT_EQ(open_image(dynamic).value()->allocated_bytes().value(), 4 * kMiB);
  EXPECT_EQ(open_image(large_table().fill(5, 7, 1)).value()->allocated_bytes().value(), 7 * 512);
}

TEST(VhdImage, CachedTablesAndBitmapsAreBounded) {
  auto builder = VhdBuilder::differencing(64 * kMiB, 65536).parent(vhd_id(2), ".\\a.vhd");
  for (std::uint64_t block = 0; block < 600; ++block) builder.fill(block * 128 + 3, 5, 1);
  ImageOpen options;
  options.limits.table_bytes = 16 * kKiB;
  const auto image = kFormat.open(builder.file(), options);
  ASSERT_TRUE(image);
  std::string first_fault;
  for (std::uint64_t block = 0; block < 600 && first_fault.empty(); ++block) {
    RunList runs;
    first_fault = fault_of((*image)->resolve_read({DiskOffset{block * 65536}, 65536}, runs));
  }
  EXPECT_EQ(first_fault, "base.memory");
}

TEST(VhdImage, UniformBitmapsCostNoMemoryOfTheirOwn) {
  auto builder = VhdBuilder::differencing(64 * kMiB, 65536).parent(vhd_id(2), ".\\a.vhd");
  for (std::uint32_t block = 0; block < 600; ++block) {
    if (block % 2 == 0) builder.mark(block * 128, 128, true);
    builder.allocate(block);
  }
  const auto file = builder.file();
  BlockBitmaps bitmaps(*file, 1024, 128, kMiB);
  const std::uint64_t first = builder.block_at(0);
  const std::uint64_t stride = builder.block_at(1) - first;
  for (std::uint32_t block = 0; block < 600; ++block) {
    const auto bitmap = bitmaps.get(block, FileOffset{first + block * stride}, 128);
    ASSERT_TRUE(bitmap);
    EXPECT_EQ(bitmap->kind(), block % 2 == 0 ? SectorBitmap::Kind::kAllSet : SectorBitmap::Kind::kAllClear);
  }
  EXPECT_EQ(bitmaps.loaded_bytes(), 2 * 512 * sizeof(void*));  // the two leaves of pointers
}

TEST(VhdImage, ReadingLoadedBlocksAllocatesNothingAndReadsNoMetadata) {
  auto builder =
      VhdBuilder::differencing(64 * kMiB).parent(vhd_id(2), ".\\a.vhd").fill(0, 4096, 1).fill(8192, 100, 2);
  testing::IoCounts counts;
  const auto image =
      kFormat.open(std::make_unique<testing::CountingFile>(builder.file(), counts), ImageOpen{});
  ASSERT_TRUE(image);
  RunList runs;
  for (int round = 0; round < 2; ++round) {
    const std::uint64_t reads_before = counts.reads;
    const testing::HeapCounter heap;
    for (std::uint64_t at = 0; at < 6 * kMiB; at += 4096) {
      ASSERT_EQ((*image)->resolve_read({DiskOffset{at}, 4096}, runs).value(), 4096u);
    }
    if (round == 0) continue;  // The first round loads.
    EXPECT_EQ(counts.reads, reads_before);
    EXPECT_EQ(heap.allocations(), 0u);
  }
}

TEST(VhdImage, ManyThreadsLoadTheSameTables) {
  auto builder = VhdBuilder::differencing(256 * kMiB, 512).parent(vhd_id(2), ".\\a.vhd");
  auto bitmapped = VhdBuilder::differencing(64 * kMiB, 65536).parent(vhd_id(2), ".\\a.vhd");
  for (std::uint64_t i = 0; i < 500; ++i) {
    builder.fill(i * 1000, 1, static_cast<std::uint8_t>(i + 1));
    bitmapped.fill(i * 200, 3, static_cast<std::uint8_t>(i + 1));
  }
  for (const auto& [source, stride] : {std::pair(&builder, 1000), std::pair(&bitmapped, 200)}) {
    const auto image = open_image(*source);
    ASSERT_TRUE(image);
    std::vector<std::jthread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, step = stride] {
        for (std::uint64_t i = 0; i < 500; ++i) {
          std::byte byte{};
          RunList runs;
          const auto got =
              (*image)->resolve_read({DiskOffset{i * static_cast<std::uint64_t>(step) * 512}, 512}, runs);
          if (!got || runs[0].source != Run::Source::kFile ||
              !read_exactly((*image)->file(), runs[0].from, std::span(&byte, 1)) ||
              byte != static_cast<std::byte>(i + 1)) {
            ++wrong;
          }
        }
      });
    }
    threads.clear();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(VhdImage, NotesGoToTheTrace) {
  std::vector<std::string> lines;
  ImageOpen options;
  options.trace = [&](TraceLevel, std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(kFormat.open(VhdBuilder::dynamic(kMiB).break_front_footer().file("a.vhd"), options));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], "a.vhd: the footer's copy at the front is damaged");
}

TEST(SectorBitmap, RunsCrossWords) {
  const SectorBitmap::Word words[] = {~std::uint64_t{0}, ~std::uint64_t{0} << 62, 1};
  const SectorBitmap bitmap(SectorBitmap::Kind::kMixed, words);
  EXPECT_EQ(bitmap.run(0, 192), 66u);
  EXPECT_EQ(bitmap.run(63, 192), 3u);
  EXPECT_EQ(bitmap.run(66, 192), 125u);
  EXPECT_EQ(bitmap.run(66, 100), 34u);
  EXPECT_EQ(bitmap.run(191, 192), 1u);
  EXPECT_TRUE(bitmap.bit(65) && bitmap.bit(191));
  EXPECT_FALSE(bitmap.bit(66) || bitmap.bit(190));
}

}  // namespace
}  // namespace vdisk::vhd
