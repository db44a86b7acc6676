// SPDX-License-Identifier: Apache-2.0
//
// Several threads write, read, trim and flush one image.
#include <atomic>
#include <thread>
#include <vector>

#include "format/vhdx/write_test_support.h"
#include "testing/counting_file.h"

namespace vdisk::vhdx {
namespace {

class WritingThreads : public ::testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, WritingThreads, ::testing::ValuesIn(all_shapes()),
                         [](const auto& shape) { return shape.param.name(); });

TEST_P(WritingThreads, EachSectorShowsItsLastWriter) {
  // Thread t writes sectors t, t + 4, … of every block: all blocks are made by four threads at once.
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kSectors = 32;
  const std::uint64_t sector = GetParam().sector_bytes;
  const std::shared_ptr<File> file = GetParam().file();
  auto image = open_shared(file);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t op = 1; op <= 3; ++op) {
        for (std::uint64_t block = 0; block < 12; ++block) {
          for (std::uint64_t s = t; s < kSectors; s += kThreads) {
            const std::uint64_t at = block * kMiB + s * sector;
            if (!write_image(*image, at, stamped(at, sector, op))) ++failures;
            const auto shown = shown_stamps(*image, at, sector);
            if (!shown || shown->front() != stamp_for(op, at / kUnit)) ++failures;
          }
          if ((block + t) % 3 == 0 && !image->flush()) ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  Model model(GetParam().disk_bytes, GetParam().initial());
  for (std::uint64_t block = 0; block < 12; ++block) model.write(block * kMiB, kSectors * sector, 3);
  EXPECT_EQ(model.compare(*image, 0, GetParam().disk_bytes), "");
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, false), "");
  EXPECT_EQ(model.compare(*open_shared(file), 0, GetParam().disk_bytes), "");
}

TEST_P(WritingThreads, TrimmedSpaceIsNeverSharedWhileItMoves) {
  // Each thread owns three blocks, writes and trims them over and over, and reads what it wrote.
  constexpr std::uint64_t kThreads = 4;
  const std::shared_ptr<File> file = GetParam().file();
  auto image = open_shared(file);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t op = 1; op <= 40; ++op) {
        const std::uint64_t at = (t * 3 + op % 3) * kMiB;
        if (!write_image(*image, at, stamped(at, 16384, op))) ++failures;
        if (!image->flush()) ++failures;
        const auto shown = shown_stamps(*image, at, 16384);
        if (!shown || shown->front() != stamp_for(op, at / kUnit)) ++failures;
        if (!discard_image(*image, {DiskOffset{at}, kMiB}, false)) ++failures;
        const auto gone = shown_stamps(*image, at, 16384);
        if (!gone || *gone != std::vector<Stamp>(32, 0)) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(*image->allocated_bytes(), 0u);
  ASSERT_EQ(message_of(image->close()), "");
  EXPECT_EQ(check_problem(*file, true), "");
  EXPECT_LT(*file->size(), 40 * kMiB) << "space is used again";
}

TEST(WritingThreads, FlushesOfManyAreOne) {
  const std::shared_ptr<File> file = Shape{}.file();
  testing::IoCounts counts;
  auto image =
      must_open_writable(std::make_unique<testing::CountingFile>(std::make_unique<SharedFile>(file), counts));
  ASSERT_EQ(message_of(write_image(*image, 0, stamped(0, 4096, 1))), "");
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        if (!image->flush()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_LE(counts.flushes, 404u);
}

}  // namespace
}  // namespace vdisk::vhdx
