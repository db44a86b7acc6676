// SPDX-License-Identifier: Apache-2.0
#include "testing/crash_explorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/fault.h"
#include "io/memory_file.h"

namespace vdisk::testing {
namespace {

std::vector<std::byte> filled(std::size_t length, int value) {
  return std::vector<std::byte>(length, static_cast<std::byte>(value));
}

std::shared_ptr<File> zeros(std::uint64_t length) {
  auto file = std::make_shared<MemoryFile>();
  EXPECT_TRUE(file->resize(length));
  return file;
}

int byte_at(File& file, std::uint64_t at) {
  std::byte byte{};
  const auto got = file.read(FileOffset{at}, std::span(&byte, 1));
  return got && *got == 1 ? static_cast<int>(byte) : -1;
}

/// Two sectors, promised equal: the second is written, flushed, and then the first. The planted bug leaves
/// out the flush between them.
Status write_pair(File& file, Recording& recording, bool flush_between) {
  VDISK_TRY(file.write(FileOffset{512}, filled(512, 7)));
  if (flush_between) VDISK_TRY(file.flush());
  VDISK_TRY(file.write(FileOffset{0}, filled(512, 7)));
  VDISK_TRY(file.flush());
  recording.promise(1, "both are there");
  return {};
}

std::string judge_pair(CrashState& state) {
  const int first = byte_at(*state.file, 0);
  const int second = byte_at(*state.file, 512);
  if (first == 7 && second != 7) return "the first is there without the second";
  if (state.promised(1) && first != 7) return "a promise is broken";
  return {};
}

TEST(CrashExplorer, PassesTheRightOrder) {
  Recording recording(zeros(1024));
  RecordingFile file(recording);
  ASSERT_TRUE(write_pair(file, recording, true));
  const ExploreReport report = explore_crashes(recording, {}, judge_pair);
  EXPECT_EQ(report.failure, "");
  EXPECT_EQ(report.crash_points, 4u);  // two flushes, the promise, the end
  EXPECT_GT(report.states, 4u);
}

TEST(CrashExplorer, CatchesTheMissingFlushAndItsSeedReproducesIt) {
  Recording recording(zeros(1024));
  RecordingFile file(recording);
  ASSERT_TRUE(write_pair(file, recording, false));
  const ExploreReport report = explore_crashes(recording, {}, judge_pair);
  ASSERT_NE(report.failure.find("without the second"), std::string::npos) << report.failure;
  const auto at = report.failure.find("VDISK_CRASH_SEED=");
  ASSERT_NE(at, std::string::npos);
  const auto begin = at + std::string("VDISK_CRASH_SEED=").size();
  ExploreOptions only;
  only.only = report.failure.substr(begin, report.failure.find(')', begin) - begin);
  const ExploreReport again = explore_crashes(recording, only, judge_pair);
  EXPECT_EQ(again.states, 1u);
  EXPECT_EQ(again.failure, report.failure);
}

TEST(CrashExplorer, CatchesAPromiseWithoutFlush) {
  Recording recording(zeros(1024));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{0}, filled(512, 7)));
  recording.promise(1);
  ASSERT_TRUE(file.flush());
  const ExploreReport report = explore_crashes(recording, {}, [](CrashState& state) -> std::string {
    return state.promised(1) && byte_at(*state.file, 0) != 7 ? "lost" : "";
  });
  EXPECT_NE(report.failure, "");
}

TEST(CrashExplorer, AFlushCoversOnlyWhatWasCompleteWhenItBegan) {
  Recording recording(zeros(1024));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{0}, filled(512, 7)));
  recording.during_flush = [&] { ASSERT_TRUE(file.write(FileOffset{512}, filled(512, 7))); };
  ASSERT_TRUE(file.flush());
  recording.during_flush = nullptr;
  recording.promise(1);
  bool second_lost = false;
  const ExploreReport report = explore_crashes(recording, {}, [&](CrashState& state) -> std::string {
    if (!state.promised(1)) return {};
    second_lost |= byte_at(*state.file, 512) == 0;
    return byte_at(*state.file, 0) == 7 ? "" : "what the flush covered is lost";
  });
  EXPECT_EQ(report.failure, "");
  EXPECT_TRUE(second_lost);
}

TEST(CrashExplorer, BuildsTornStatesAtBothSectorSizes) {
  Recording recording(zeros(16384));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{0}, filled(16384, 9)));
  std::set<std::vector<int>> seen;
  ExploreOptions options;
  options.random_states = 500;
  const ExploreReport report = explore_crashes(recording, options, [&](CrashState& state) -> std::string {
    std::vector<int> sectors;
    for (std::uint64_t at = 0; at < 16384; at += 512) {
      sectors.push_back(byte_at(*state.file, at));
      if (sectors.back() != byte_at(*state.file, at + 511)) return "torn inside a sector";
    }
    seen.insert(sectors);
    return {};
  });
  EXPECT_EQ(report.failure, "");
  EXPECT_GT(seen.size(), 50u);
  EXPECT_TRUE(seen.contains(std::vector<int>(32, 0)));
  EXPECT_TRUE(seen.contains(std::vector<int>(32, 9)));
  EXPECT_TRUE(std::ranges::any_of(seen, [](const auto& s) { return s[0] == 9 && s[1] == 0; }));
}

TEST(CrashExplorer, TheSizeSurvivesApartFromTheBytes) {
  Recording recording(zeros(512));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{512}, filled(512, 5)));
  std::set<std::pair<std::uint64_t, int>> seen;
  explore_crashes(recording, {}, [&](CrashState& state) -> std::string {
    seen.emplace(*state.file->size(), byte_at(*state.file, 600));
    return {};
  });
  const std::set<std::pair<std::uint64_t, int>> expected = {{512, -1}, {1024, 0}, {1024, 5}};
  EXPECT_EQ(seen, expected);
}

TEST(CrashExplorer, ShrinkingIsAPieceOfItsOwnAndKillsBytes) {
  auto base = std::make_shared<MemoryFile>(filled(2048, 3));
  Recording recording(base);
  RecordingFile file(recording);
  ASSERT_TRUE(file.resize(512));
  ASSERT_TRUE(file.resize(2048));
  ASSERT_TRUE(file.punch(FileOffset{0}, 512));
  std::set<std::tuple<std::uint64_t, int, int>> seen;
  explore_crashes(recording, {}, [&](CrashState& state) -> std::string {
    seen.emplace(*state.file->size(), byte_at(*state.file, 0), byte_at(*state.file, 1024));
    return {};
  });
  EXPECT_TRUE(seen.contains({512, 3, -1}));
  EXPECT_TRUE(seen.contains({2048, 3, 0}));
  EXPECT_TRUE(seen.contains({2048, 0, 3}));
  EXPECT_TRUE(seen.contains({2048, 3, 3}));
}

TEST(CrashExplorer, ManyPiecesGivePrefixesOmissionsAndSurvivors) {
  Recording recording(zeros(64 * 512));
  RecordingFile file(recording);
  for (std::uint64_t i = 0; i < 64; ++i) ASSERT_TRUE(file.write(FileOffset{i * 512}, filled(512, 1)));
  std::set<std::vector<bool>> seen;
  const ExploreReport report = explore_crashes(recording, {}, [&](CrashState& state) -> std::string {
    std::vector<bool> there;
    for (std::uint64_t i = 0; i < 64; ++i) there.push_back(byte_at(*state.file, i * 512) == 1);
    seen.insert(there);
    return {};
  });
  EXPECT_EQ(report.failure, "");
  for (std::size_t i = 0; i < 64; ++i) {
    std::vector<bool> all(64, true), one(64, false), prefix(64, false);
    all[i] = false;
    one[i] = true;
    std::fill_n(prefix.begin(), i, true);
    EXPECT_TRUE(seen.contains(all) && seen.contains(one) && seen.contains(prefix)) << i;
  }
  ExploreOptions few;
  few.most_states = 20;
  EXPECT_EQ(explore_crashes(recording, few, [](CrashState&) { return std::string(); }).states, 20u);
}

TEST(CrashExplorer, TrashesOnlyWhereAllowed) {
  Recording recording(zeros(8192));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{0}, filled(4096, 1)));
  ASSERT_TRUE(file.write(FileOffset{4096}, filled(4096, 1)));
  ExploreOptions options;
  options.trashable = {{4096, 4096}};
  int trashed = 0;
  const ExploreReport report = explore_crashes(recording, options, [&](CrashState& state) -> std::string {
    std::vector<std::byte> bytes(8192);
    if (!state.file->read(FileOffset{0}, bytes)) return "unreadable";
    const auto noise = [](std::byte byte) { return byte > std::byte{1}; };
    if (std::any_of(bytes.begin(), bytes.begin() + 4096, noise)) return "noise where none may be";
    if (std::any_of(bytes.begin() + 4096, bytes.end(), noise)) {
      ++trashed;
      if (!state.trashed) return "noise in a state that has none";
    }
    return {};
  });
  EXPECT_EQ(report.failure, "");
  EXPECT_GT(trashed, 10);
}

// A counter in two slots, recovered by copying slot 0 to slot 1. The planted bug wipes slot 0 first.
TEST(CrashExplorer, RecoveryIsCrashedToo) {
  const auto make_recover = [](bool broken) {
    return [broken](std::unique_ptr<File> file) -> Status {
      const auto value = filled(512, byte_at(*file, 0) == 7 || byte_at(*file, 512) == 7 ? 7 : 0);
      if (broken) VDISK_TRY(file->zero(FileOffset{0}, 1024));
      VDISK_TRY(file->write(FileOffset{512}, value));
      if (!broken) VDISK_TRY(file->flush());
      VDISK_TRY(file->write(FileOffset{0}, value));
      return file->flush();
    };
  };
  const auto judge = [](CrashState& state) -> std::string {
    const bool there = byte_at(*state.file, 0) == 7 || byte_at(*state.file, 512) == 7;
    return state.promised(1) && !there ? fmt::format("lost at depth {}", state.depth) : "";
  };
  Recording recording(zeros(1024));
  RecordingFile file(recording);
  ASSERT_TRUE(file.write(FileOffset{0}, filled(512, 7)));
  ASSERT_TRUE(file.flush());
  recording.promise(1);
  ExploreOptions options;
  options.recovery_depth = 2;
  options.recovery_states = 10;
  options.recover = make_recover(false);
  const ExploreReport good = explore_crashes(recording, options, judge);
  EXPECT_EQ(good.failure, "");
  EXPECT_GT(good.recovery_states, good.crash_points);
  options.recover = make_recover(true);
  const ExploreReport bad = explore_crashes(recording, options, judge);
  ASSERT_NE(bad.failure.find("lost at depth 1"), std::string::npos) << bad.failure;
  const auto begin = bad.failure.find("VDISK_CRASH_SEED=") + 17;
  options.only = bad.failure.substr(begin, bad.failure.find(')', begin) - begin);
  const ExploreReport again = explore_crashes(recording, options, judge);
  EXPECT_NE(again.failure.find("lost at depth 1"), std::string::npos) << again.failure;
  EXPECT_EQ(again.states, 1u);
}

TEST(CrashExplorer, RefusesAWrongSeed) {
  Recording recording(zeros(512));
  ExploreOptions options;
  options.only = "1/x";
  EXPECT_NE(explore_crashes(recording, options, [](CrashState&) { return std::string(); }).failure, "");
}

}  // namespace
}  // namespace vdisk::testing
