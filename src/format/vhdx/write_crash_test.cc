// SPDX-License-Identifier: Apache-2.0
//
// The power goes at any moment of writing, trimming, zeroing, flushing and closing (docs/durability.md).
#include "format/vhdx/write_crash_support.h"
#include "io/faults.h"
#include "testing/fault_file.h"

namespace vdisk::vhdx {
namespace {

using testing::CrashState;
using testing::ExploreOptions;
using testing::ExploreReport;
using testing::Recording;
using testing::RecordingFile;

class WritingCrashes : public ::testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, WritingCrashes, ::testing::ValuesIn(all_shapes()),
                         [](const auto& shape) { return shape.param.name(); });

/// Of random scripts: few states of each crash point, as there are many of these.
ExploreOptions options_for_scripts(std::uint64_t seed) {
  ExploreOptions options;
  options.seed = seed;
  options.exhaustive_pieces = 5;
  options.random_states = 16;
  options.trashed_states = 6;
  options.most_states = 32;
  options.recover_every = 16;
  options.recovery_states = 6;
  return options;
}

TEST_P(WritingCrashes, AtAnyMomentOfRandomWorkKeepWhatWasFlushed) {
  std::uint64_t states = 0;
  for (std::uint64_t seed = 1; seed <= 4 * testing::search_scale(); ++seed) {
    const Script before = random_script(GetParam(), seed * 1000, 12);
    const Script script = random_script(GetParam(), seed, 36);
    const ExploreReport report = explore(GetParam(), before, script, options_for_scripts(seed));
    ASSERT_EQ(report.failure, "") << "script seed " << seed;
    states += report.states;
  }
  RecordProperty("crash_states.vhdx.mixed", std::to_string(states));
  EXPECT_GE(states, 1500u);
}

TEST_P(WritingCrashes, AtAnyMomentOfASuccessionKeepWhatWasAnswered) {
  std::uint64_t states = 0;
  for (std::uint64_t seed = 1; seed <= 2 * testing::search_scale(); ++seed) {
    const Script before = random_script(GetParam(), seed * 2000, 12);
    Script script = random_script(GetParam(), seed + 500, 32);
    for (std::size_t at = 5; at < script.size(); at += 7)
      script.insert(script.begin() + at, Step::succession());
    const ExploreReport report = explore(GetParam(), before, script, options_for_scripts(seed));
    ASSERT_EQ(report.failure, "") << "script seed " << seed;
    states += report.states;
  }
  RecordProperty("crash_states.vhdx.succession", std::to_string(states));
  EXPECT_GE(states, 700u);
}

TEST_P(WritingCrashes, ReusedSpaceNeverShowsWhatItHeldBefore) {
  const std::uint64_t block = GetParam().block_bytes;
  const std::uint64_t sector = GetParam().sector_bytes;
  const Script before = {Step::write(0, 6 * block)};
  const Script script = {
      Step::trim(block, 2 * block),
      Step::flush(),
      Step::flush(),
      Step::write(8 * block, sector),
      Step::write(9 * block, block),
      Step::flush(),
      Step::trim(0, block),
      Step::write(10 * block, sector),
      Step::flush(),
      Step::write(11 * block, sector),
      Step::flush(),
  };
  ExploreOptions options;
  options.random_states = 16;
  options.most_states = 50;
  options.recover_every = 16;
  options.recovery_states = 8;
  const ExploreReport report = explore(GetParam(), before, script, options);
  EXPECT_EQ(report.failure, "");
  RecordProperty("crash_states.vhdx.reuse", std::to_string(report.states));
}

TEST_P(WritingCrashes, ReusedSpaceThatASuccessorTakesOverNeverShowsWhatItHeldBefore) {
  const std::uint64_t block = GetParam().block_bytes;
  const std::uint64_t sector = GetParam().sector_bytes;
  const Script before = {Step::write(0, 6 * block)};
  const Script script = {
      Step::trim(block, 3 * block),
      Step::flush(),
      Step::flush(),
      Step::write(8 * block, sector),
      Step::succession(),
      Step::write(9 * block, block),
      Step::succession(),
      Step::write(10 * block, sector),
  };
  ExploreOptions options;
  options.random_states = 16;
  options.most_states = 16;
  options.recover_every = 16;
  options.recovery_states = 8;
  const ExploreReport report = explore(GetParam(), before, script, options);
  EXPECT_EQ(report.failure, "");
  RecordProperty("crash_states.vhdx.succession", std::to_string(report.states));
}

TEST_P(WritingCrashes, TheLogMayGoAroundManyTimes) {
  const std::uint64_t block = GetParam().block_bytes;
  const std::uint64_t sector = GetParam().sector_bytes;
  Script script;
  // Two to five sectors of the log for each flush; the ring has 256.
  for (std::uint64_t i = 0; i < 180; ++i) {
    const std::uint64_t at = i * 7 % 12 * block;
    if (i % 3 == 2) {
      script.push_back(Step::trim(at, block));
    } else {
      script.push_back(Step::write(at + i % 5 * sector, sector));
    }
    script.push_back(Step::flush());
  }
  ExploreOptions options;
  options.exhaustive_pieces = 2;
  options.random_states = 2;
  options.trashed_states = 1;
  options.most_states = 5 * testing::search_scale();
  options.recover_every = 32;
  options.recovery_states = 4;
  const ExploreReport report = explore(GetParam(), {}, script, options);
  EXPECT_EQ(report.failure, "");
  RecordProperty("crash_states.vhdx.log_wrap", std::to_string(report.states));
  EXPECT_GE(report.states, 2500u);
}

TEST_P(WritingCrashes, ACommitOfManyEntriesIsSoundAfterEachOfThem) {
  if (GetParam().differencing != (GetParam().sector_bytes == 4096)) GTEST_SKIP() << "two shapes are enough";
  // More dirty pages than the ring has room for: 300 BAT pages, each of 512 MiB of disk.
  Shape shape = GetParam();
  shape.disk_bytes = 300 * 512 * kMiB;
  Script script;
  for (std::uint64_t i = 0; i < 300; ++i) {
    script.push_back(Step::write(i * 512 * kMiB, shape.sector_bytes));
  }
  script.push_back(Step::flush());
  Model model(shape.disk_bytes, shape.initial());
  Player player(shape, model);
  VhdxBuilder builder = shape.builder();
  if (shape.differencing) {
    // Bits of blocks that are not there mean nothing, so they may be anything.
    for (std::uint64_t i = 0; i < 300; ++i) {
      const std::uint64_t block = i * 512 * kMiB / shape.block_bytes;
      if (i == 0 || block / builder.chunk_ratio() != (block - 512) / builder.chunk_ratio())
        builder.bitmap(block / builder.chunk_ratio());
      builder.set_bits(i * 512 * kMiB / shape.sector_bytes, 8);
    }
  }
  Recording recording(builder.build());
  recording.promise(0, "the disk as it was");
  ASSERT_EQ(message_of(player.play(std::make_shared<RecordingFile>(recording), script, &recording)), "");
  ExploreOptions options;
  options.exhaustive_pieces = 3;
  options.random_states = 8;
  options.trashed_states = 4;
  options.most_states = 12;
  options.recover_every = 8;
  options.recovery_states = 3;
  options.trashable = trashable(shape);
  options.recover = open_and_close;
  const ExploreReport report = explore_crashes(recording, options, [&](CrashState& state) -> std::string {
    auto image = open(std::make_unique<testing::CowFile>(state.file));
    if (!image) return "does not open: " + image.error().message();
    for (std::uint64_t i = 0; i < 300; ++i) {
      std::string problem =
          model.compare_after_crash(**image, i * 512 * kMiB, 2 * shape.sector_bytes, flushed_op(state));
      if (!problem.empty()) return problem;
    }
    const CheckReport checked = check(*state.file);
    return checked.damaged() ? "damaged: " + checked.findings.front().message : "";
  });
  EXPECT_EQ(report.failure, "");
  RecordProperty("crash_states.vhdx.long_commit", std::to_string(report.states));
}

/// Leaves out one flush; the rest goes on.
class ForgetfulFile final : public File {
 public:
  ForgetfulFile(std::shared_ptr<File> below, std::uint64_t forgotten)
      : below_(std::move(below)), forgotten_(forgotten) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_->read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override { return below_->write(at, from); }
  Status flush() override { return ++flushes_ == forgotten_ ? Status{} : below_->flush(); }
  Result<std::uint64_t> size() override { return below_->size(); }
  Status resize(std::uint64_t size_bytes) override { return below_->resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return below_->zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_->punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_->next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_->next_hole(from); }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }
  std::uint64_t flushes() const { return flushes_; }

 private:
  const std::shared_ptr<File> below_;
  const std::uint64_t forgotten_;
  std::uint64_t flushes_ = 0;
};

// The net itself is tested. A session of three commits flushes thirteen times: its first log entry (1), the
// two headers (2, 3), payload and log in turn (4 to 9), what was put in place (10), the two headers (11, 12),
// the shorter file (13). Of each pair of headers one flush could go, because a header's fields lie in one
// sector and the explorer spoils one sector at a time; so could the last. Every other one is needed.
TEST(WritingCrashNet, WithoutOneOfTheFlushesTheExplorerCatchesIt) {
  const Shape shape{.differencing = true};
  const Script before = {Step::write(0, 4 * kMiB), Step::trim(kMiB, kMiB)};
  const Script script = {Step::write(5 * kMiB, 512), Step::flush(), Step::write(6 * kMiB, 512), Step::flush(),
                         Step::write(7 * kMiB, 512), Step::flush()};
  std::uint64_t flushes = 1;
  std::vector<std::uint64_t> uncaught;
  for (std::uint64_t forgotten = 0; forgotten <= flushes; ++forgotten) {
    Model model(shape.disk_bytes, shape.initial());
    Player player(shape, model);
    const std::shared_ptr<File> base = shape.file();
    ASSERT_EQ(message_of(player.play(base, before, nullptr)), "");
    Recording recording(base);
    recording.promise(player.kept(), "the disk as it was");
    const auto file = std::make_shared<ForgetfulFile>(std::make_shared<RecordingFile>(recording), forgotten);
    ASSERT_EQ(message_of(player.play(file, script, &recording)), "");
    flushes = file->flushes();
    ExploreOptions options;
    options.most_states = 60;
    options.trashed_states = 16;
    options.trashable = trashable(shape);
    const ExploreReport report = explore_crashes(
        recording, options, [&](CrashState& state) { return judge_state(shape, model, state, false); });
    if (forgotten == 0) {
      ASSERT_EQ(report.failure, "");
    } else if (report.failure.empty()) {
      uncaught.push_back(forgotten);
    }
  }
  EXPECT_EQ(uncaught, (std::vector<std::uint64_t>{2, 3, 11, 12, 13}));
}

// --- Failing I/O ---

/// Every write of the fault loop goes on after a failure, as a caller would; poison ends it.
Status play_on(std::unique_ptr<File> file, const Shape& shape, Model& model, std::uint64_t& kept) {
  auto image = VDISK_TRY(open(std::move(file), true));
  Status first;
  std::uint64_t op = 100;
  const auto note = [&](Status status) {
    if (!status) model.fail(op);
    if (!status && first) first = std::move(status);
  };
  const auto write = [&](std::uint64_t at, std::uint64_t length) {
    model.write(at, length, ++op);
    note(write_image(*image, at, stamped(at, length, op)));
  };
  const auto keep = [&](Status status) {
    if (status) kept = op;
    if (!status && first) first = std::move(status);
  };
  const std::uint64_t block = shape.block_bytes;
  write(4 * block, shape.sector_bytes);
  write(block / 2, shape.sector_bytes);
  keep(image->flush());
  model.zero(block, block, ++op);
  note(discard_image(*image, {DiskOffset{block}, block}, false));
  keep(image->flush());
  keep(image->flush());
  write(6 * block, shape.sector_bytes);  // over reused space
  write(7 * block, 2 * block);
  model.zero(2 * block, block, ++op);
  note(discard_image(*image, {DiskOffset{2 * block}, block}, true));
  keep(image->flush());
  write(9 * block, shape.sector_bytes);
  // What memory shows is what the file will show.
  keep(image->close());
  return first;
}

TEST_P(WritingCrashes, AnyIoMayFail) {
  const Shape shape = GetParam();
  for (const int os_errno : {EIO, ENOSPC}) {
    for (const bool sticky : {false, true}) {
      Model before(shape.disk_bytes, shape.initial());
      Player player(shape, before);
      const std::shared_ptr<File> base = shape.file();
      ASSERT_EQ(message_of(player.play(base, {Step::write(0, 4 * shape.block_bytes)}, nullptr)), "");
      Model model = before;
      std::uint64_t kept = 0;
      const testing::FaultLoopReport report = testing::run_fault_loop(
          base, {.os_errno = os_errno, .sticky = sticky},
          [&](std::unique_ptr<File> file) {
            model = before;
            kept = 1;
            return play_on(std::move(file), shape, model, kept);
          },
          [&](const std::shared_ptr<File>& left, const Status&) -> std::string {
            auto image = open(std::make_unique<SharedFile>(left), true);
            if (!image) return "does not open: " + image.error().message();
            std::string problem = compare_edges(shape, model, **image, kept);
            if (!problem.empty()) return problem;
            if (auto status =
                    write_image(**image, 11 * shape.block_bytes, stamped(11 * shape.block_bytes, 4096, 1000));
                !status)
              return "a later write fails: " + status.error().message();
            if (auto status = (*image)->close(); !status) return "a later close fails";
            problem = compare_edges(Shape{shape.differencing, shape.sector_bytes, 11 * shape.block_bytes},
                                    model, **open(std::make_unique<SharedFile>(left)), kept);
            return problem.empty() ? check_problem(*left, true) : problem;
          });
      EXPECT_EQ(report.failure, "") << "errno " << os_errno;
      EXPECT_GT(report.runs, 10u);
    }
  }
}

}  // namespace
}  // namespace vdisk::vhdx
