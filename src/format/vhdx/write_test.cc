// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/write.h"

#include "format/vhdx/write_test_support.h"
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

}  // namespace
}  // namespace vdisk::vhdx
