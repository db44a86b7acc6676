// SPDX-License-Identifier: Apache-2.0
//
// Raw files and block devices, read and written: against a map of sectors, with every I/O failing once, and
// with the plug pulled at every moment.
#include "format/raw/raw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "io/memory_file.h"
#include "io/posix_file.h"
#include "testing/crash_explorer.h"
#include "testing/fault_file.h"
#include "testing/image_writing.h"
#include "testing/loop_device.h"
#include "testing/recording_file.h"
#include "testing/shared_file.h"
#include "testing/temp_folder.h"

namespace vdisk::raw {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kSectors = 64;

/// What fills a sector; 0 is zeros.
using Value = std::uint8_t;

std::shared_ptr<File> new_file() {
  auto file = std::make_shared<MemoryFile>("disk.img");
  EXPECT_TRUE(file->resize(kSectors * kSector));
  return file;
}

Result<std::unique_ptr<Image>> open_raw(std::unique_ptr<File> file, bool writable = true) {
  ImageOpen how;
  how.writable = writable;
  return kFormat.open(std::move(file), how);
}

Status put(Image& image, std::uint64_t first, std::uint64_t count, Value value) {
  return testing::write_image(image, first * kSector,
                              std::vector<std::byte>(count * kSector, std::byte{value}));
}

/// The value of each sector; 0xFF where its bytes differ, which no test writes.
std::vector<Value> values_of(File& file) {
  std::vector<std::byte> bytes(kSectors * kSector);
  EXPECT_TRUE(read_exactly(file, FileOffset{0}, bytes));
  std::vector<Value> values;
  for (std::uint64_t s = 0; s < kSectors; ++s) {
    const auto sector = std::span(bytes).subspan(s * kSector, kSector);
    const bool even = std::ranges::all_of(sector, [&](std::byte b) { return b == sector[0]; });
    values.push_back(even ? std::to_integer<Value>(sector[0]) : 0xFF);
  }
  return values;
}

/// Random work, and every value that each sector was told to have.
class Worker {
 public:
  explicit Worker(std::uint32_t seed)
      : random_(seed), told_(kSectors, std::vector<Value>{0}), oldest_(kSectors, 0) {}

  /// One step; after one that fails its sectors show what they could show before, or the new value.
  Status step(Image& image) {
    const std::uint64_t first = random_() % kSectors;
    const std::uint64_t count = 1 + random_() % std::min<std::uint64_t>(12, kSectors - first);
    const DiskRange range{{first * kSector}, count * kSector};
    const auto kind = random_() % 8;
    const auto value = kind < 2 ? Value{0} : static_cast<Value>(1 + random_() % 200);
    for (std::uint64_t s = first; s < first + count; ++s) told_[s].push_back(value);
    const Status done = kind < 2 ? testing::discard_image(image, range, /*keep_space=*/kind == 0)
                                 : put(image, first, count, value);
    for (std::uint64_t s = first; done && s < first + count; ++s) oldest_[s] = told_[s].size() - 1;
    return done;
  }

  /// For each sector the first of the values told that it can show now.
  const std::vector<std::size_t>& moment() const { return oldest_; }

  /// "" if every sector shows what it could show at `since`, or something later.
  std::string judge(File& file, const std::vector<std::size_t>& since) const {
    const std::vector<Value> values = values_of(file);
    for (std::uint64_t s = 0; s < kSectors; ++s) {
      const auto begin = told_[s].begin() + static_cast<std::ptrdiff_t>(since[s]);
      if (std::find(begin, told_[s].end(), values[s]) == told_[s].end()) {
        return fmt::format("sector {} shows {:#04x}, which it was not told since the flush", s, values[s]);
      }
    }
    return {};
  }

 private:
  std::mt19937 random_;
  std::vector<std::vector<Value>> told_;
  std::vector<std::size_t> oldest_;
};

TEST(Raw, RandomOperationsShowWhatTheModelSays) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const std::shared_ptr<File> file = new_file();
    Worker worker(seed);
    for (int session = 0; session < 4; ++session) {
      const auto image = open_raw(std::make_unique<testing::SharedFile>(file));
      ASSERT_TRUE(image);
      for (int i = 0; i < 40; ++i) {
        ASSERT_TRUE(worker.step(**image));
        ASSERT_EQ(worker.judge(*file, worker.moment()), "");
      }
      ASSERT_TRUE((*image)->close());
      ASSERT_TRUE((*image)->close()) << "again, to no effect";
    }
    EXPECT_EQ(*file->size(), kSectors * kSector);
  }
}

TEST(Raw, AnyIoMayFail) {
  for (const bool sticky : {false, true}) {
    for (const int os_errno : {EIO, ENOSPC}) {
      std::unique_ptr<Worker> worker;
      std::vector<std::size_t> flushed;
      const auto report = testing::run_fault_loop(
          new_file(), {.os_errno = os_errno, .sticky = sticky},
          [&](std::unique_ptr<File> file) -> Status {
            worker = std::make_unique<Worker>(7);
            flushed = worker->moment();
            const auto image = VDISK_TRY(open_raw(std::move(file)));
            Status first;
            const auto note = [&](Status status) {
              if (!status && first) first = std::move(status);
            };
            for (int i = 0; i < 24; ++i) {
              note(worker->step(*image));
              if (i % 6 != 5) continue;
              const auto moment = worker->moment();
              Status status = image->flush();
              if (status) flushed = moment;
              if (!status) {
                EXPECT_FALSE(image->flush()) << "a flush after a failed one must fail";
                EXPECT_FALSE(put(*image, 0, 1, 1)) << "as must a write";
              }
              note(std::move(status));
            }
            note(image->close());
            return first;
          },
          [&](const std::shared_ptr<File>& left, const Status&) { return worker->judge(*left, flushed); });
      EXPECT_EQ(report.failure, "");
      EXPECT_GE(report.runs, os_errno == EIO ? 25U : 20U);
    }
  }
}

TEST(RawCrash, WhatWasFlushedIsThereAtEveryMoment) {
  std::uint64_t states = 0;
  for (std::uint32_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(seed);
    testing::Recording recording(new_file());
    Worker worker(seed);
    std::vector<std::vector<std::size_t>> moments{worker.moment()};
    const auto image = open_raw(std::make_unique<testing::RecordingFile>(recording));
    ASSERT_TRUE(image);
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(worker.step(**image));
      if (i % 5 != 4) continue;
      moments.push_back(worker.moment());
      ASSERT_TRUE(i == 19 ? (*image)->close() : (*image)->flush());
      recording.promise(moments.size() - 1);
    }
    testing::ExploreOptions options;
    options.seed = seed;
    options.tear_bytes = {512};
    options.most_states = 200;
    const auto report = testing::explore_crashes(recording, options, [&](testing::CrashState& state) {
      std::uint64_t last = 0;
      for (const testing::IoEvent* made : state.promises) last = std::max(last, made->promise);
      return worker.judge(*state.file, moments[last]);
    });
    EXPECT_EQ(report.failure, "");
    states += report.states;
  }
  EXPECT_GE(states, 10'000U);
}

TEST(Raw, ARangeIsOneRunAndCostsNoFlush) {
  const auto image = open_raw(std::make_unique<testing::SharedFile>(new_file()));
  ASSERT_TRUE(image);
  RunList runs;
  const auto ticket = (*image)->resolve_write({DiskOffset{512}, 31 * kSector}, runs);
  ASSERT_TRUE(ticket);
  EXPECT_EQ(ticket->covered_bytes(), 31 * kSector);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].from, FileOffset{512});
}

TEST(Raw, OpenedForReadingItRefusesEveryChange) {
  const auto image = open_raw(std::make_unique<testing::SharedFile>(new_file()), false);
  ASSERT_TRUE(image);
  EXPECT_EQ(put(**image, 0, 1, 1).error().code(), 19U);
  EXPECT_EQ(testing::discard_image(**image, {{0}, 512}, true).error().code(), 19U);
  EXPECT_TRUE((*image)->flush());
  EXPECT_TRUE((*image)->close());
}

TEST(Raw, ABlockDeviceHasItsOwnSectors) {
  for (const std::uint32_t sector : {512U, 4096U}) {
    const testing::TempFolder folder;
    const std::string backing = folder.save("backing", std::vector<std::byte>(kMiB, std::byte{0x77}));
    const testing::LoopDevice device(backing, sector);
    if (!device) GTEST_SKIP() << testing::LoopDevice::kWhyNot;
    auto file = open_posix_file(device.path(),
                                {.writable = true, .lock = true, .allow_block_device = true, .trace = {}});
    ASSERT_TRUE(file) << file.error().message();
    File& bytes = **file;
    const auto image = open_raw(std::move(*file));
    ASSERT_TRUE(image);
    const DiskGeometry& geometry = (*image)->properties().geometry;
    EXPECT_EQ(geometry.virtual_size_bytes, kMiB);
    EXPECT_EQ(geometry.logical_sector_bytes, sector);
    EXPECT_GE(geometry.physical_sector_bytes, sector);
    ImageInfo info;
    ASSERT_TRUE(kFormat.inspect(bytes, {}, info));
    EXPECT_EQ(info.logical_sector_bytes, sector);
    ASSERT_TRUE(put(**image, 8, 8, 0x11));
    ASSERT_TRUE(testing::discard_image(**image, {{0}, 4096}, true));
    ASSERT_TRUE(testing::discard_image(**image, {{8192}, 4096}, false));
    ASSERT_TRUE((*image)->close());
    const std::vector<Value> values = values_of(bytes);
    for (std::uint64_t s = 0; s < kSectors; ++s) {
      EXPECT_EQ(values[s], s < 8 ? 0 : s < 16 ? 0x11 : s < 24 ? 0 : 0x77) << s;
    }
  }
}

}  // namespace
}  // namespace vdisk::raw
