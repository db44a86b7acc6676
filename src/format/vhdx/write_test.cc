// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/write.h"

#include "format/vhdx/write_crash_support.h"
#include "testing/counting_file.h"

namespace vdisk::vhdx {
namespace {

using testing::CountingFile;
using testing::IoCounts;

class Writing : public ::testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Writing, ::testing::ValuesIn(all_shapes()),
                         [](const auto& shape) { return shape.param.name(); });

TEST_P(Writing, ShowsWhatWasWrittenNowAndAfterReopening) {
  const std::shared_ptr<File> file = GetParam().file();
  const std::uint32_t sector = GetParam().sector_bytes;
  Model model(GetParam().disk_bytes, GetParam().initial());
  auto image = open_shared(file);
  const auto write = [&](std::uint64_t at, std::uint64_t length, std::uint64_t op) {
    ASSERT_EQ(message_of(write_image(*image, at, stamped(at, length, op))), "");
    model.write(at, length, op);
  };
  write(3 * sector, 2 * sector, 1);
  write(5 * kMiB, kMiB, 2);                   // a whole block
  write(6 * kMiB + 8 * sector, 3 * kMiB, 3);  // parts and wholes
  write(4 * sector, 4 * sector, 4);           // over and beside what is there
  write(12 * kMiB - sector, sector, 5);       // the disk's end
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  EXPECT_EQ(message_of(image->flush()), "");
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  write(7 * kMiB, 2 * sector, 6);
  EXPECT_EQ(message_of(image->close()), "");
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  EXPECT_EQ(check_problem(*file, false), "");
  image = open_shared(file);
  EXPECT_FALSE(image->properties().dirty_log);
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
}

TEST_P(Writing, DiscardedBlocksReadAsZerosAndGiveTheirSpaceBack) {
  const std::shared_ptr<File> file = GetParam().file();
  const std::uint32_t sector = GetParam().sector_bytes;
  Model model(GetParam().disk_bytes, GetParam().initial());
  auto image = open_shared(file);
  ASSERT_EQ(message_of(write_image(*image, 0, stamped(0, 4 * kMiB, 1))), "");
  model.write(0, 4 * kMiB, 1);
  ASSERT_EQ(message_of(image->flush()), "");
  EXPECT_EQ(*image->allocated_bytes(), 4 * kMiB);
  ASSERT_EQ(message_of(discard_image(*image, {DiskOffset{kMiB}, 3 * kMiB}, false)), "");
  model.zero(kMiB, 3 * kMiB, 2);
  EXPECT_EQ(*image->allocated_bytes(), kMiB);
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  ASSERT_EQ(message_of(discard_image(*image, {DiskOffset{5 * kMiB - sector}, 2 * kMiB}, true)), "");
  model.zero(5 * kMiB - sector, 2 * kMiB, 3);
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, true), "");  // What was freed between blocks stays a hole.
  EXPECT_EQ(model.compare(*open_shared(file), 0, GetParam().disk_bytes), "");
}

TEST_P(Writing, CommitsAThousandBlocksInEightFlushes) {
  if (GetParam().differencing) GTEST_SKIP() << "the budget is of dynamic disks";
  Shape shape = GetParam();
  shape.disk_bytes = 1000 * kMiB;
  const std::shared_ptr<File> file = shape.file();
  IoCounts counts;
  auto image = must_open_writable(std::make_unique<CountingFile>(std::make_unique<SharedFile>(file), counts));
  for (std::uint64_t block = 0; block < 1000; ++block) {
    ASSERT_EQ(message_of(write_image(*image, block * kMiB, stamped(block * kMiB, 4096, 1))), "");
  }
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_LE(counts.flushes, 8u);
  EXPECT_LE(counts.resizes, 70u);
  EXPECT_EQ(check_problem(*file, false), "");
}

TEST_P(Writing, FlushingAfterEachBlockCostsTwoFlushesAtMost) {
  Shape shape = GetParam();
  shape.disk_bytes = 1000 * kMiB;
  const std::shared_ptr<File> file = shape.file();
  IoCounts counts;
  auto image = must_open_writable(std::make_unique<CountingFile>(std::make_unique<SharedFile>(file), counts));
  for (std::uint64_t block = 0; block < 1000; ++block) {
    ASSERT_EQ(message_of(write_image(*image, block * kMiB, stamped(block * kMiB, 4096, 1))), "");
    ASSERT_EQ(message_of(image->flush()), "");
  }
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_LE(counts.flushes, shape.differencing ? 2 * 1000u + 8 : 1000u + 8);
  EXPECT_EQ(check_problem(*file, false), "");
}

TEST_P(Writing, RandomWorkAgreesWithTheModel) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const std::shared_ptr<File> file = GetParam().file();
    Model model(GetParam().disk_bytes, GetParam().initial());
    Player player(GetParam(), model);
    for (std::uint64_t round = 0; round < 4; ++round) {
      ASSERT_EQ(message_of(player.play(file, random_script(GetParam(), seed * 100 + round, 60), nullptr)), "")
          << "seed " << seed;
      ASSERT_EQ(model.compare(*open_shared(file), 0, GetParam().disk_bytes), "") << "seed " << seed;
      ASSERT_EQ(check_problem(*file, true), "") << "seed " << seed;
    }
  }
}

TEST_P(Writing, ATicketThatDiesLeavesWhatWasThere) {
  const std::shared_ptr<File> file = GetParam().file();
  auto image = open_shared(file);
  {
    RunList runs;
    auto ticket = image->resolve_write({DiskOffset{0}, 2 * kMiB + 4096}, runs);
    ASSERT_TRUE(ticket);
    EXPECT_EQ(ticket->covered_bytes(), 2 * kMiB + 4096);
    EXPECT_EQ(runs.size(), 1u) << "three blocks in one stretch";
    ASSERT_TRUE(image->file().write(runs[0].from, stamped(0, 2 * kMiB, 7)));
  }
  const Model model(GetParam().disk_bytes, GetParam().initial());
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  // The space is handed out again, and clean.
  Model after = model;
  ASSERT_EQ(message_of(write_image(*image, 8 * kMiB, stamped(8 * kMiB, 4096, 8))), "");
  after.write(8 * kMiB, 4096, 8);
  EXPECT_EQ(after.compare(*image, 0, GetParam().disk_bytes), "");
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, true), "");
}

TEST_P(Writing, NewGuidsOnceAndOnlyWhenSomethingIsWritten) {
  const std::shared_ptr<File> file = GetParam().file();
  const Headers before = *read_headers(*file);
  {
    auto image = open_shared(file);
    ASSERT_EQ(message_of(image->flush()), "");
    ASSERT_EQ(message_of(image->close()), "");
  }
  EXPECT_EQ(read_headers(*file)->current, before.current);
  auto image = open_shared(file);
  ASSERT_EQ(message_of(write_image(*image, 0, stamped(0, 4096, 1))), "");
  const Headers during = *read_headers(*file);
  EXPECT_NE(during.current.data_write_guid, before.current.data_write_guid);
  EXPECT_NE(during.current.file_write_guid, before.current.file_write_guid);
  EXPECT_FALSE(during.current.log_guid.is_zero());
  ASSERT_EQ(message_of(write_image(*image, kMiB, stamped(kMiB, 4096, 2))), "");
  ASSERT_EQ(message_of(image->close()), "");
  const Headers after = *read_headers(*file);
  EXPECT_EQ(after.current.data_write_guid, during.current.data_write_guid);
  EXPECT_TRUE(after.current.log_guid.is_zero());
  EXPECT_TRUE(after.other_valid);
  ASSERT_EQ(message_of(image->close()), "") << "closing twice does nothing";
  EXPECT_EQ(read_headers(*file)->current, after.current);
  const Status late = write_image(*image, 0, stamped(0, 4096, 1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().id(), "vhdx.write.closed");
}

TEST(WritingRefused, WithoutALog) {
  VhdxBuilder builder(8 * kMiB);
  for (int slot = 0; slot < 2; ++slot) {
    builder.edit_header(slot, [](HeaderLayout& header) {
      header.log_length = 0u;
      header.log_offset = std::uint64_t{0};
    });
  }
  auto image = must_open_writable(builder.build());
  const Status written = write_image(*image, 0, stamped(0, 4096, 1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().id(), "vhdx.write.no_log");
}

TEST(WritingRefused, WhenTheSequenceNumberCannotBeRaised) {
  VhdxBuilder builder(8 * kMiB);
  for (int slot = 0; slot < 2; ++slot) {
    builder.edit_header(slot, [slot](HeaderLayout& header) {
      header.sequence_number = ~std::uint64_t{0} - static_cast<std::uint64_t>(slot);
    });
  }
  auto image = must_open_writable(builder.build());
  const Status written = write_image(*image, 0, stamped(0, 4096, 1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().id(), "vhdx.header.sequence");
}

TEST(WritingRefused, OverBlocksThatOverlapInALargeTable) {
  VhdxBuilder builder(std::uint64_t{256} * kGiB);  // a BAT of 2 MiB is not judged at open
  const std::uint64_t at = builder.present(0);
  builder.raw_entry(builder.payload_index(200000), at | 6);
  auto image = must_open_writable(builder.build());
  const Status written = write_image(*image, kMiB, stamped(kMiB, 4096, 1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().id(), "vhdx.bat.overlap");
  EXPECT_TRUE(shown_stamps(*image, 0, 4096)) << "reading goes on";
}

TEST(WritingRefused, WhenTheBlocksLieTooFarApart) {
  const std::uint64_t blocks = SpaceMap::kMostPages + 1;
  VhdxBuilder builder(blocks * kMiB);
  std::uint64_t place = 64 * kGiB;
  for (std::uint64_t block = 0; block < blocks; ++block, place += 32 * kGiB) {
    builder.raw_entry(builder.payload_index(block), place | 6);
  }
  auto image = must_open_writable(builder.build(place + kMiB));
  const Status written = write_image(*image, 0, stamped(0, 4096, 1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().id(), "vhdx.write.too_scattered");
}

TEST(WritingFixed, NeverGivesSpaceAway) {
  VhdxBuilder builder(4 * kMiB);
  builder.fixed();
  for (std::uint64_t block = 0; block < 4; ++block) builder.present(block);
  builder.write(0, 4 * kMiB, 0x11);
  const std::shared_ptr<File> file = builder.build();
  auto image = open_shared(file);
  ASSERT_EQ(message_of(discard_image(*image, {DiskOffset{kMiB}, 2 * kMiB}, false)), "");
  EXPECT_EQ(*image->allocated_bytes(), 4 * kMiB);
  const auto stamps = shown_stamps(*image, 0, 4 * kMiB);
  ASSERT_TRUE(stamps);
  for (std::uint64_t unit = 0; unit < stamps->size(); ++unit) {
    const bool zeroed = unit * kUnit >= kMiB && unit * kUnit < 3 * kMiB;
    ASSERT_EQ((*stamps)[unit], zeroed ? 0 : 0x1111111111111111u) << unit;
  }
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, false), "");
}

TEST(WritingAnchors, AndUnknownRegionsKeepTheirSpace) {
  VhdxBuilder builder(16 * kMiB);
  builder.unknown_region(Guid{{9}}, kMiB, false);
  builder.present(0);
  const std::uint64_t anchor = builder.take(1);
  builder.raw_entry(builder.payload_index(1), anchor | 1);  // UNDEFINED with its space
  builder.raw_entry(builder.payload_index(2), anchor | 3);  // UNMAPPED, upon another's
  builder.write(0, kMiB, 0x22);
  const std::shared_ptr<File> file = builder.build();
  Model model(16 * kMiB, 0);
  auto image = open_shared(file);
  for (std::uint64_t block = 1; block < 16; ++block) {
    ASSERT_EQ(message_of(write_image(*image, block * kMiB, stamped(block * kMiB, 8192, block))), "");
    model.write(block * kMiB, 8192, block);
    if (block % 4 == 0) {
      ASSERT_EQ(message_of(image->flush()), "");
    }
  }
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, true), "");
  EXPECT_EQ(model.compare(*open_shared(file), kMiB, 15 * kMiB), "");
  EXPECT_EQ(shown_stamps(*open_shared(file), 0, kMiB), std::vector<Stamp>(2048, 0x2222222222222222u));
}

}  // namespace
}  // namespace vdisk::vhdx
