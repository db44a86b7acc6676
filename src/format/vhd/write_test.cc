// SPDX-License-Identifier: Apache-2.0
//
// Writing: what lies where afterwards, what is repaired, what is refused, and how many flushes it takes.
#include "format/vhd/write.h"

#include "base/checked.h"
#include "base/win32_codes.h"
#include "format/vhd/faults.h"
#include "format/vhd/write_test_support.h"
#include "testing/counting_file.h"

namespace vdisk::vhd {
namespace {

constexpr std::uint64_t kBlock = 2 * kMiB;

std::shared_ptr<File> file_of(const VhdBuilder& builder) { return builder.file(); }

Footer footer_at(File& file, std::uint64_t at) {
  Footer footer;
  EXPECT_TRUE(read_exactly(file, FileOffset{at}, writable_bytes_of(footer)).has_value());
  return footer;
}
bool good(const Footer& footer) {
  return footer.cookie == kFooterCookie && footer.checksum == checksum_of(footer);
}
std::vector<std::byte> content(File& file) {
  std::vector<std::byte> bytes(file.size().value());
  EXPECT_TRUE(read_exactly(file, FileOffset{0}, bytes).has_value());
  return bytes;
}

TEST(VhdWrite, FixedDisksAreWrittenInPlace) {
  const auto file = file_of(VhdBuilder::fixed(kMiB).fill(0, 8, 0x11));
  const auto before = content(*file);
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(image) << image.error().message();
    ASSERT_TRUE(fill_disk(**image, 1024, 512, 0x22));
    ASSERT_TRUE(zero_disk(**image, 0, 512));
    ASSERT_TRUE(trim_disk(**image, 512, 512));
    EXPECT_EQ(byte_at(**image, 0), 0);
    EXPECT_EQ(byte_at(**image, 512), 0);
    EXPECT_EQ(byte_at(**image, 1024), 0x22);
    EXPECT_EQ(byte_at(**image, 2048), 0x11);
    ASSERT_TRUE((*image)->flush());
    ASSERT_TRUE((*image)->close());
  }
  const auto after = content(*file);
  ASSERT_EQ(after.size(), before.size());
  EXPECT_TRUE(std::equal(after.end() - 512, after.end(), before.end() - 512));
  EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "");
}

TEST(VhdWrite, NewBlocksLieAsWindowsPutsThem) {
  const auto file = file_of(VhdBuilder::dynamic(10 * kBlock).windows_alignment());
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(image);
    ASSERT_TRUE(fill_disk(**image, 3 * kBlock + 512, 512, 0x33));
    ASSERT_TRUE(fill_disk(**image, 512, 2 * kBlock, 0x44));
    ASSERT_TRUE((*image)->close());
  }
  EXPECT_EQ(flaws(file, Finding::Severity::kNote), "");
  const std::uint64_t size = file->size().value();
  EXPECT_TRUE(is_multiple(size, 4096)) << size;
  EXPECT_TRUE(good(footer_at(*file, size - 512)));
  EXPECT_TRUE(good(footer_at(*file, 0)));
  EXPECT_LT(size, 4 * (kBlock + 4096) + 16384);
  const auto image = open_shared(file, false);
  ASSERT_TRUE(image);
  EXPECT_EQ(byte_at(**image, 3 * kBlock), 0);
  EXPECT_EQ(byte_at(**image, 3 * kBlock + 512), 0x33);
  EXPECT_EQ(byte_at(**image, 3 * kBlock + 1024), 0);
  EXPECT_EQ(byte_at(**image, 511), 0);
  EXPECT_EQ(byte_at(**image, 512), 0x44);
  EXPECT_EQ(byte_at(**image, 2 * kBlock + 511), 0x44);
  EXPECT_EQ(byte_at(**image, 2 * kBlock + 512), 0);
  for (const std::uint64_t block : {0, 1, 2, 3}) {
    RunList runs;
    ASSERT_TRUE((*image)->resolve_read({DiskOffset{block * kBlock}, 512}, runs));
    EXPECT_TRUE(is_multiple(runs.back().from.bytes, 4096)) << block;
  }
  EXPECT_EQ(check_file(file).leaked_bytes, 0u);
}

TEST(VhdWrite, DifferencingDisksSetBitsOnly) {
  const auto file =
      file_of(VhdBuilder::differencing(4 * kBlock).parent(vhd_id(2), ".\\a.vhd").fill(9, 1, 0x11));
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(image) << image.error().message();
    ASSERT_TRUE(fill_disk(**image, 10 * 512, 512, 0x22));           // a block that is there
    ASSERT_TRUE(fill_disk(**image, kBlock + 70 * 512, 512, 0x33));  // one that is not
    ASSERT_TRUE(fill_disk(**image, 2 * kBlock, kBlock, 0x44));      // all of one
    EXPECT_EQ(byte_at(**image, kBlock + 69 * 512), 0xEE);
    EXPECT_EQ(byte_at(**image, kBlock + 70 * 512), 0x33);
    ASSERT_TRUE((*image)->close());
  }
  const auto image = open_shared(file, false);
  ASSERT_TRUE(image);
  const std::pair<std::uint64_t, int> expected[] = {
      {8, 0xEE},         {9, 0x11},         {10, 0x22},   {11, 0xEE},    {4096 + 69, 0xEE},
      {4096 + 70, 0x33}, {4096 + 71, 0xEE}, {8192, 0x44}, {12287, 0x44}, {12288, 0xEE}};
  for (const auto& [sector, value] : expected) EXPECT_EQ(byte_at(**image, sector * 512), value) << sector;
  EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "");
}

TEST(VhdWrite, TrimFreesBlocksAndKeepsTheBitsOfDifferencingOnes) {
  const auto dynamic = file_of(VhdBuilder::dynamic(4 * kBlock).fill(0, 16384, 0x11));
  const std::uint64_t full = dynamic->size().value();
  {
    const auto image = open_shared(dynamic);
    ASSERT_TRUE(trim_disk(**image, kBlock + 512, 3 * kBlock - 512));
    EXPECT_EQ(byte_at(**image, kBlock + 512), 0x11);  // a piece of a block keeps its bytes
    EXPECT_EQ(byte_at(**image, 2 * kBlock), 0);
    ASSERT_TRUE((*image)->close());
  }
  EXPECT_LE(dynamic->size().value(), full - 2 * kBlock);
  EXPECT_EQ(flaws(dynamic, Finding::Severity::kWarning), "");
  EXPECT_EQ(check_file(dynamic).blocks_allocated, 2u);

  const auto child =
      file_of(VhdBuilder::differencing(4 * kBlock).parent(vhd_id(2), ".\\a.vhd").fill(5, 2, 0x11));
  const auto image = open_shared(child);
  ASSERT_TRUE(trim_disk(**image, 0, 4 * kBlock));
  EXPECT_EQ(byte_at(**image, 4 * 512), 0xEE);
  EXPECT_EQ(byte_at(**image, 5 * 512), 0);
  EXPECT_EQ(byte_at(**image, kBlock), 0xEE);
  ASSERT_TRUE(zero_disk(**image, kBlock, kBlock));
  EXPECT_EQ(byte_at(**image, kBlock), 0);
  EXPECT_EQ(byte_at(**image, 2 * kBlock - 1), 0);
  EXPECT_EQ(byte_at(**image, 2 * kBlock), 0xEE);
}

/// Where the block's bitmap lies, by the file's own table.
std::uint64_t place_of(File& file, const VhdBuilder& builder, std::uint32_t block) {
  Be<std::uint32_t> entry;
  EXPECT_TRUE(read_exactly(file, FileOffset{builder.table_offset() + block * 4}, writable_bytes_of(entry)));
  return std::uint64_t{entry} * 512;
}

TEST(VhdWrite, AFreedPlaceIsUsedAgainOnlyWhenItIsEmptyForGood) {
  const auto builder = VhdBuilder::dynamic(8 * kBlock).windows_alignment().fill(0, 12288, 0x11);
  const auto file = file_of(builder);
  const std::uint64_t freed = builder.block_at(1);
  const auto image = open_shared(file);
  ASSERT_TRUE(trim_disk(**image, kBlock, kBlock));
  ASSERT_TRUE(fill_disk(**image, 4 * kBlock, 512, 0x22));
  ASSERT_TRUE((*image)->flush());  // the entry is gone for good now, and the place is emptied
  ASSERT_TRUE(fill_disk(**image, 5 * kBlock, 512, 0x33));
  ASSERT_TRUE((*image)->flush());  // which is now for good too
  EXPECT_NE(place_of(*file, builder, 4), freed);
  EXPECT_NE(place_of(*file, builder, 5), freed);
  ASSERT_TRUE(fill_disk(**image, 6 * kBlock, 512, 0x44));
  ASSERT_TRUE((*image)->flush());
  EXPECT_EQ(place_of(*file, builder, 6), freed);
  EXPECT_EQ(byte_at(**image, 6 * kBlock), 0x44);
  EXPECT_EQ(byte_at(**image, 6 * kBlock + 512), 0);
}

TEST(VhdWrite, AFreedPlaceWaitsForThoseWhoMayStillGoThere) {
  const auto builder = VhdBuilder::dynamic(8 * kBlock).windows_alignment().fill(0, 12288, 0x11);
  const auto file = file_of(builder);
  const auto image = open_shared(file);
  {
    const IoGate::Pass reader = (*image)->io_gate().enter();
    RunList runs;
    ASSERT_TRUE((*image)->resolve_read({DiskOffset{kBlock}, 512}, runs));
    ASSERT_TRUE(trim_disk(**image, kBlock, kBlock));
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE((*image)->flush());
      ASSERT_TRUE(fill_disk(**image, (3 + i) * kBlock, 512, 0x22));
    }
    std::byte old{};
    ASSERT_TRUE(read_exactly(*file, runs.back().from, {&old, 1}));
    EXPECT_EQ(old, std::byte{0x11});
  }
  ASSERT_TRUE((*image)->flush());
  ASSERT_TRUE((*image)->flush());
  ASSERT_TRUE(fill_disk(**image, kBlock, 512, 0x55));
  ASSERT_TRUE((*image)->flush());
  EXPECT_EQ(place_of(*file, builder, 1), builder.block_at(1));
}

TEST(VhdWrite, GapsOfEarlierSessionsAreFilled) {
  const auto builder = VhdBuilder::dynamic(8 * kBlock).windows_alignment().fill(0, 12288, 0x11);
  const auto file = file_of(builder);
  const std::uint64_t full = file->size().value();
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(trim_disk(**image, kBlock, kBlock));
    ASSERT_TRUE((*image)->close());
  }
  const auto image = open_shared(file);
  ASSERT_TRUE(fill_disk(**image, 6 * kBlock + 512, 512, 0x22));
  ASSERT_TRUE((*image)->close());
  EXPECT_EQ(place_of(*file, builder, 6), builder.block_at(1));
  EXPECT_EQ(file->size().value(), full);
  EXPECT_EQ(byte_at(**image, 6 * kBlock), 0);
  EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "");
}

TEST(VhdWrite, ATicketThatDiesLeavesNothing) {
  const auto file = file_of(VhdBuilder::dynamic(8 * kBlock));
  const auto image = open_shared(file);
  {
    const IoGate::Pass pass = (*image)->io_gate().enter();
    RunList runs;
    const auto ticket = (*image)->resolve_write({DiskOffset{0}, kBlock}, runs);
    ASSERT_TRUE(ticket);
    ASSERT_TRUE((*image)->file().write(runs.back().from, std::vector<std::byte>(4096, std::byte{0x77})));
  }
  EXPECT_EQ(byte_at(**image, 0), 0);
  ASSERT_TRUE(fill_disk(**image, kBlock, 512, 0x22));
  EXPECT_EQ(byte_at(**image, kBlock + 512), 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE((*image)->flush());
  ASSERT_TRUE(fill_disk(**image, 2 * kBlock + 4096, 512, 0x22));  // gets the place, empty
  EXPECT_EQ(byte_at(**image, 2 * kBlock), 0);
  ASSERT_TRUE((*image)->close());
  EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "");
}

TEST(VhdWrite, OldFootersDoNotStay) {
  // What looks like a footer must not lie about: whoever copies the beginning of the file would find it at
  // the end.
  const auto file = file_of(VhdBuilder::dynamic(16 * 4096, 4096).padding_before_footer(512));
  const auto image = open_shared(file, true, kStepwise);
  for (std::uint64_t block = 0; block < 5; ++block) {
    ASSERT_TRUE(fill_disk(**image, block * 4096, 512, 0x22));
    const auto bytes = content(*file);
    for (std::uint64_t at = 512; at + 512 < bytes.size(); at += 512) {
      ASSERT_NE(load<Footer>(std::span(bytes).subspan(at)).cookie, kFooterCookie) << block << " at " << at;
    }
    ASSERT_TRUE(good(footer_at(*file, bytes.size() - 512)));
  }
}

TEST(VhdWrite, TheFirstWriteRepairsTheFooters) {
  const auto dynamic = [] { return VhdBuilder::dynamic(4 * kBlock).fill(0, 8, 0x11); };
  const std::pair<const char*, VhdBuilder> cases[] = {
      {"front", dynamic().break_front_footer()},
      {"end", dynamic().break_end_footer()},
      {"no end", dynamic().omit_end_footer()},
      {"short", dynamic().short_footer()},
      {"cut", dynamic().cut(100)},
      {"front differs", dynamic().edit_front_footer([](Footer& footer) { footer.timestamp = 7; })}};
  for (const auto& [name, builder] : cases) {
    const auto file = file_of(builder);
    const auto before = content(*file);
    {
      const auto image = open_shared(file);
      ASSERT_TRUE(image) << name << image.error().message();
      EXPECT_TRUE(content(*file) == before) << name << ": an open changes nothing";
      ASSERT_TRUE(fill_disk(**image, 512, 512, 0x22)) << name;
      ASSERT_TRUE((*image)->close());
    }
    const std::uint64_t size = file->size().value();
    EXPECT_TRUE(is_multiple(size, 512)) << name;
    EXPECT_TRUE(good(footer_at(*file, 0))) << name;
    EXPECT_TRUE(good(footer_at(*file, size - 512))) << name;
    EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "") << name;
  }
  const auto fixed = file_of(VhdBuilder::fixed(kMiB).short_footer());
  const auto image = open_shared(fixed);
  ASSERT_TRUE(image);
  ASSERT_TRUE(fill_disk(**image, 512, 512, 0x22));
  ASSERT_TRUE((*image)->close());
  EXPECT_EQ(fixed->size().value(), kMiB + 512);
  EXPECT_TRUE(good(footer_at(*fixed, kMiB)));
}

TEST(VhdWrite, XenLearnsToIgnoreItsBatmap) {
  const auto file = file_of(VhdBuilder::dynamic(4 * kBlock).xen_batmap().fill(0, 8, 0x11));
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(image);
    ASSERT_NE(detail(**image, "xen_batmap"), "(none)");
    ASSERT_TRUE(fill_disk(**image, 0, 512, 0x22));
    ASSERT_TRUE((*image)->close());
  }
  const auto image = open_shared(file, false);
  ASSERT_TRUE(image);
  EXPECT_EQ(detail(**image, "xen_batmap"), "(none)");
  EXPECT_EQ(byte_at(**image, 0), 0x22);
  EXPECT_EQ(flaws(file), "");
}

TEST(VhdWrite, WhatIsReadOnlyRefuses) {
  const auto file = file_of(VhdBuilder::dynamic(4 * kBlock));
  const auto image = open_shared(file, false);
  ASSERT_TRUE(image);
  EXPECT_EQ(fault_of(fill_disk(**image, 0, 512, 1)), "format.not_writable");
  EXPECT_EQ(fault_of(trim_disk(**image, 0, kBlock)), "format.not_writable");
  const auto differ =
      VhdBuilder::dynamic(4 * kBlock).edit_front_footer([](Footer& footer) { footer.current_size = kMiB; });
  EXPECT_EQ(fault_at_open(differ, true), "vhd.footer.differ");
}

TEST(VhdWrite, ALargeTableIsExaminedBeforeTheFirstChange) {
  // 512 Ki blocks: the table is paged, and an open looks at one page only.
  const auto sound = VhdBuilder::dynamic(256 * kMiB, 512).fill(0, 1, 0x10).fill(300'000, 2, 0x30);
  const auto bad =
      file_of(VhdBuilder(sound).bat_entry(100'000, static_cast<std::uint32_t>(sound.block_at(0) / 512)));
  const auto before = content(*bad);
  const auto refused = open_shared(bad);
  ASSERT_TRUE(refused) << refused.error().message();
  EXPECT_EQ(fault_of(fill_disk(**refused, 0, 512, 1)), "vhd.bat.overlap");
  EXPECT_EQ(fault_of(trim_disk(**refused, 0, 512)), "vhd.bat.overlap");
  EXPECT_TRUE(content(*bad) == before);

  const auto file = file_of(sound);
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(fill_disk(**image, 200'000 * 512, 1024, 0x20));
    ASSERT_TRUE(trim_disk(**image, 300'000 * 512, 512));
    EXPECT_EQ(byte_at(**image, 200'000 * 512), 0x20);
    ASSERT_TRUE((*image)->close());
  }
  const auto image = open_shared(file, false);
  EXPECT_EQ(byte_at(**image, 0), 0x10);
  EXPECT_EQ(byte_at(**image, 200'001 * 512), 0x20);
  EXPECT_EQ(byte_at(**image, 300'000 * 512), 0);
  EXPECT_EQ(byte_at(**image, 300'001 * 512), 0x30);
  EXPECT_EQ(flaws(file, Finding::Severity::kWarning), "");
}

TEST(VhdWrite, NoBlockBeginsPastTwoTebibytes) {
  const auto file = file_of(VhdBuilder::dynamic(4 * kBlock).padding_before_footer(2 * kTiB - 2 * kMiB));
  // Too little room for a block is left below the limit.
  const auto image = open_shared(file);
  ASSERT_TRUE(image) << image.error().message();
  ASSERT_TRUE(fill_disk(**image, 0, 512, 0x11));  // goes into the padding
  const auto full =
      file_of(VhdBuilder::dynamic(4 * kBlock).first_block_at(2 * kTiB - 512 - 512).fill(0, 1, 0x11));
  const auto refused = open_shared(full);
  ASSERT_TRUE(refused) << refused.error().message();
  ASSERT_TRUE(fill_disk(**refused, 512, 512, 0x22));
  const Status status = fill_disk(**refused, kBlock, 512, 0x22);
  EXPECT_EQ(fault_of(status), "vhd.full");
  EXPECT_EQ(status.error().code(), win32::kVhdBlockAllocationFailure);
  EXPECT_TRUE((*refused)->close());
  EXPECT_EQ(byte_at(**refused, 512), 0x22);
}

TEST(VhdWrite, SpareEntriesOfTheTableStay) {
  const auto builder = VhdBuilder::dynamic(4 * kBlock).table_entries(100).spare_entry(0x1234);
  const auto file = file_of(builder);
  {
    const auto image = open_shared(file);
    ASSERT_TRUE(fill_disk(**image, 3 * kBlock, 512, 0x22));
    ASSERT_TRUE((*image)->close());
  }
  EXPECT_EQ(place_of(*file, builder, 4), 0x1234u * 512);
  EXPECT_EQ(place_of(*file, builder, 99), 0x1234u * 512);
}

TEST(VhdWrite, FewFlushesPerNewBlock) {
  struct Case {
    DiskType type;
    std::uint32_t block_bytes;
    bool guest_flushes;
    std::uint64_t most;
  };
  for (const Case& c :
       {Case{DiskType::kDynamic, 2u << 20, false, 8}, Case{DiskType::kDynamic, 2u << 20, true, 2008},
        Case{DiskType::kDynamic, 512u << 10, false, 8}, Case{DiskType::kDifferencing, 2u << 20, false, 8},
        Case{DiskType::kDifferencing, 2u << 20, true, 2008}}) {
    auto builder = c.type == DiskType::kDynamic ? VhdBuilder::dynamic(4 * kGiB, c.block_bytes)
                                                : VhdBuilder::differencing(4 * kGiB, c.block_bytes);
    if (c.type == DiskType::kDifferencing) builder.parent(vhd_id(2), ".\\a.vhd");
    testing::IoCounts counts;
    const auto image =
        kFormat.open(std::make_unique<testing::CountingFile>(builder.file(), counts), with_write(true));
    ASSERT_TRUE(image);
    for (std::uint64_t block = 0; block < 1000; ++block) {
      ASSERT_TRUE(fill_disk(**image, block * c.block_bytes + 8192, 512, 0x11));
      if (c.guest_flushes) {
        ASSERT_TRUE((*image)->flush());
      }
    }
    ASSERT_TRUE((*image)->close());
    EXPECT_LE(counts.flushes, c.most) << static_cast<int>(c.type) << " " << c.block_bytes;
    // A dynamic block costs one flush, a differencing one two.
    if (c.guest_flushes && c.type == DiskType::kDynamic) {
      EXPECT_LE(counts.flushes, 1008u);
    }
  }
}

TEST(VhdWrite, DirtyMetadataIsBounded) {
  testing::IoCounts counts;
  auto builder = VhdBuilder::differencing(kGiB, 512 << 10).parent(vhd_id(2), ".\\a.vhd");
  const auto image =
      kFormat.open(std::make_unique<testing::CountingFile>(builder.file(), counts), with_write(true));
  std::uint64_t writes = 0;
  while (counts.flushes < 3 && writes < 100'000) {
    ASSERT_TRUE(fill_disk(**image, writes % 2000 * (512 << 10) + writes / 2000 * 512, 512, 1));
    ++writes;
  }
  EXPECT_GE(counts.flushes, 3u);
  EXPECT_LE(writes, 3 * Writer::kMostDirtyBytes / 512);
}

}  // namespace
}  // namespace vdisk::vhd
