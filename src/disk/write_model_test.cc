// SPDX-License-Identifier: Apache-2.0
//
// Several threads write at once, through chains of up to five files, and the disk shows what they told it:
// while they do, when they are done, and after it was opened again.
#include <gtest/gtest.h>
#include <vdisk/disk.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/endian.h"
#include "testing/crash_explorer.h"
#include "testing/disk_story.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::DiskKind;
using testing::DiskStory;
using testing::Narrator;

constexpr unsigned kNarrators = 3;

/// What anyone may see of a sector at any time: zeros, or eight bytes over and over that name this sector.
/// Sectors that are being written may show a mixture of two such values.
bool is_nobody_elses(std::span<const std::byte> sector, std::uint64_t number) {
  for (std::size_t i = 0; i < sector.size(); i += 8) {
    const auto word = load<Le<std::uint64_t>>(sector.subspan(i)).get();
    if (word != 0 && (word & 0xFFFF'FFFF) != number + 1) return false;
  }
  return true;
}

/// Reads here and there until it is told to stop; counts sectors with another one's bytes.
void look_around(const Disk& disk, const std::atomic<bool>& stop, std::uint64_t seed,
                 std::atomic<unsigned>& wrong) {
  std::mt19937_64 random(seed);
  const std::uint64_t sectors = disk.geometry().virtual_size_bytes / 512;
  std::vector<std::byte> bytes(64 * 512);
  while (!stop) {
    const std::uint64_t first = random() % (sectors - 64);
    if (!disk.read(DiskOffset{first * 512}, bytes)) ++wrong;
    for (std::uint64_t i = 0; i < 64; ++i) {
      if (!is_nobody_elses(std::span(bytes).subspan(i * 512, 512), first + i)) ++wrong;
    }
  }
}

Disk open_disk(const std::string& path, bool writable) {
  OpenOptions options;
  options.writable = writable;
  auto disk = Disk::open(path, options);
  if (!disk) ADD_FAILURE() << disk.error().message();
  return std::move(disk).value();
}

class DiskWriteThreads : public ::testing::TestWithParam<DiskKind> {
 protected:
  /// One session of all threads, judged before and after its end.
  static void run_session(const std::string& path, std::uint64_t seed) {
    std::optional<Disk> open = open_disk(path, true);
    const Disk& disk = *open;
    DiskStory story(GetParam());
    story.begin(disk);
    std::atomic<unsigned> wrong = 0;
    std::atomic<bool> stop = false;
    std::thread reader([&] { look_around(disk, stop, seed, wrong); });
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < kNarrators; ++number) {
      threads.emplace_back([&, number] {
        Narrator narrator(disk, story, number, kNarrators, seed * kNarrators + number);
        for (int i = 0; i < 40; ++i) {
          if (!narrator.step()) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    stop = true;
    reader.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(story.judge(disk, DiskStory::Certain::kDone), "");
    const Status closed = open->close();
    EXPECT_TRUE(closed) << closed.error().message();
    open.reset();  // and with it the lock
    EXPECT_EQ(story.judge(open_disk(path, false), DiskStory::Certain::kDone), "") << "after reopening";
  }
};
INSTANTIATE_TEST_SUITE_P(
    Kinds, DiskWriteThreads,
    ::testing::Values(DiskKind{.fixed = true, .block_bytes = 2 * kMiB}, DiskKind{},
                      DiskKind{.sector_bytes = 4096}, DiskKind{.depth = 2}, DiskKind{.depth = 5},
                      DiskKind{.depth = 5, .sector_bytes = 4096},
                      DiskKind{.format = FormatId::kVhd, .fixed = true, .block_bytes = 512 * kKiB},
                      DiskKind{.format = FormatId::kVhd, .block_bytes = 512 * kKiB},
                      DiskKind{.format = FormatId::kVhd, .depth = 3, .block_bytes = 512 * kKiB},
                      DiskKind{.format = FormatId::kVhd, .depth = 5, .fixed = true, .block_bytes = 2 * kMiB}),
    [](const auto& kind) { return kind.param.name() + (kind.param.fixed ? "_fixed_base" : ""); });

TEST_P(DiskWriteThreads, AgreeWithTheModelAtAnyDepth) {
  const testing::TempFolder folder;
  const std::string path = testing::make_disk(folder.path(), GetParam(), 1);
  std::vector<testing::FileState> parents;
  for (int layer = 0; layer + 1 < GetParam().depth; ++layer) {
    parents.push_back(testing::state_of(folder.path(GetParam().file_name(layer))));
  }
  for (std::uint64_t session = 1; session <= 2 * testing::search_scale() && !HasFailure(); ++session) {
    SCOPED_TRACE(::testing::Message() << "seed " << session);
    run_session(path, session);
    EXPECT_EQ(testing::check_flaws(path), "");
  }
  for (std::size_t layer = 0; layer < parents.size(); ++layer) {
    EXPECT_EQ(testing::state_of(folder.path(GetParam().file_name(static_cast<int>(layer)))), parents[layer]);
  }
}

}  // namespace
}  // namespace vdisk
