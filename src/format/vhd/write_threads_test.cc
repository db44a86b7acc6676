// SPDX-License-Identifier: Apache-2.0
//
// Several threads on one disk.
#include <atomic>
#include <future>
#include <thread>

#include "format/vhd/write_crash_support.h"
#include "testing/recording_file.h"

namespace vdisk::vhd {
namespace {

constexpr int kThreads = 4;

/// Thread t owns the sectors s with s % kThreads == t of the shared blocks, and some blocks alone.
void work(Image& image, int thread, std::uint32_t block_bytes, std::atomic<int>& wrong) {
  std::mt19937 random(static_cast<std::uint32_t>(thread) + 7);
  const std::uint64_t per_block = block_bytes / 512;
  const std::uint64_t own_first = (16 + static_cast<std::uint64_t>(thread) * 8) * per_block;
  std::vector<Mark> own(8 * per_block, kGarbageMark);
  for (std::uint32_t i = 1; i < 300; ++i) {
    std::byte bytes[512];
    const auto put = [&](std::uint64_t sector) {
      const Mark mark = mark_of(sector, i);
      for (std::size_t b = 0; b < 512; b += 8) store(std::span(bytes).subspan(b), Le<std::uint64_t>(mark));
      if (!write_disk(image, sector * 512, bytes)) ++wrong;
      const IoGate::Pass pass = image.io_gate().enter();
      if (mark_at(image, sector) != mark) ++wrong;
      return mark;
    };
    put((random() % (16 * per_block)) / kThreads * kThreads + static_cast<std::uint64_t>(thread));
    const std::uint64_t sector = random() % own.size();
    own[sector] = put(own_first + sector);
    if (random() % 4 == 0) {
      const std::uint64_t block = random() % 8;
      if (!trim_disk(image, (own_first + block * per_block) * 512, block_bytes)) ++wrong;
      for (std::uint64_t s = block * per_block; s < (block + 1) * per_block; ++s) {
        if (own[s] != kGarbageMark) own[s] = kZeroMark;
      }
    }
    if (random() % 8 == 0 && !image.flush()) ++wrong;
    const std::uint64_t look = random() % own.size();
    const IoGate::Pass pass = image.io_gate().enter();
    if (own[look] != kGarbageMark && mark_at(image, own_first + look) != own[look]) ++wrong;
  }
}

TEST(VhdWriteThreads, EachSeesItsOwn) {
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    for (const std::uint32_t block : {4096u, 65536u}) {
      const Shape shape{type, block, 16 + kThreads * 8, 1};
      const std::shared_ptr<File> file = shape.builder().file();
      const auto image = open_shared(file, true, kStepwise);
      ASSERT_TRUE(image);
      std::atomic<int> wrong = 0;
      {
        std::vector<std::jthread> threads;
        for (int t = 0; t < kThreads; ++t) threads.emplace_back([&, t] { work(**image, t, block, wrong); });
      }
      EXPECT_EQ(wrong, 0);
      std::vector<Mark> before;
      for (std::uint64_t s = 0; s < shape.sectors(); ++s) {
        before.push_back(mark_at(**image, s));
        const Mark mark = before.back();
        if (mark == kZeroMark || mark == kParentMark) continue;
        ASSERT_EQ(mark >> 24, s + 1) << "another sector's bytes";
      }
      ASSERT_TRUE((*image)->close());
      EXPECT_EQ(flaws(file), "");
      const auto again = open_shared(file, false);
      ASSERT_TRUE(again);
      for (std::uint64_t s = 0; s < shape.sectors(); ++s) ASSERT_EQ(mark_at(**again, s), before[s]) << s;
    }
  }
}

TEST(VhdWriteThreads, AFlushThatCameLateIsNotServedByTheOneUnderWay) {
  testing::Recording recording(
      std::shared_ptr<File>(VhdBuilder::dynamic(16 * 4096, 4096).allocate(0).file()));
  const auto file = std::make_shared<testing::RecordingFile>(recording);
  const auto image = open_shared(file);
  ASSERT_TRUE(image);
  ASSERT_TRUE(fill_disk(**image, 0, 512, 0x11));
  std::future<bool> late;
  recording.during_flush = [&] {
    if (late.valid()) return;
    ASSERT_TRUE(fill_disk(**image, 512, 512, 0x22));
    recording.promise(1);
    late = std::async(std::launch::async, [&] { return (*image)->flush().has_value(); });
    // Long enough for it to come while this flush runs.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  ASSERT_TRUE((*image)->flush());
  EXPECT_TRUE(late.get());
  std::size_t written = 0;
  std::size_t covered = 0;
  for (std::size_t i = 0; i < recording.events().size(); ++i) {
    const testing::IoEvent& event = recording.events()[i];
    if (event.kind == testing::IoEvent::Kind::kPromise) written = i;
    if (event.kind == testing::IoEvent::Kind::kFlush) covered = event.covers;
  }
  EXPECT_GT(covered, written);
}

TEST(VhdWriteThreads, OneMakesABlockAndTheOtherWaitsOnlyForThat) {
  const std::shared_ptr<File> file = VhdBuilder::dynamic(16 * 4096, 4096).file();
  const auto image = open_shared(file);
  RunList runs;
  auto first = (*image)->resolve_write({DiskOffset{0}, 512}, runs);
  ASSERT_TRUE(first);
  // Another block waits for nobody, and a range that reaches into the one being made ends before it.
  ASSERT_TRUE(fill_disk(**image, 4096, 512, 0x22));
  auto second = (*image)->resolve_write({DiskOffset{2 * 4096}, 512}, runs);
  ASSERT_TRUE(second);
  {
    const auto part = (*image)->resolve_write({DiskOffset{4096}, 2 * 4096}, runs);
    ASSERT_TRUE(part);
    EXPECT_EQ(part->covered_bytes(), 4096u);
  }
  std::atomic<bool> done = false;
  auto waiter = std::async(std::launch::async, [&] {
    const bool written = fill_disk(**image, 512, 512, 0x33).has_value();
    done = true;
    return written;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(done);
  first->commit();
  EXPECT_TRUE(waiter.get());
  EXPECT_EQ(byte_at(**image, 512), 0x33);
  second->commit();
  ASSERT_TRUE((*image)->close());
  EXPECT_EQ(check_file(file).blocks_allocated, 3u);
  EXPECT_EQ(flaws(file), "");
}

}  // namespace
}  // namespace vdisk::vhd
