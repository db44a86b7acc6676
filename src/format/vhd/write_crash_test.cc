// SPDX-License-Identifier: Apache-2.0
//
// The plug is pulled at every moment of random sessions: writes, zeros, trims, flushes, growth, first-write
// repairs, closes, and sessions that were killed. A VHD has no log; docs/durability.md says what it may lose.
#include "format/intent_memory.h"
#include "format/vhd/test_write_marks.h"
#include "testing/crash_explorer.h"
#include "testing/recording_file.h"

namespace vdisk::vhd {
namespace {

using testing::CrashState;
using testing::ExploreOptions;
using testing::ExploreReport;
using testing::Recording;
using testing::RecordingFile;

/// What a session does most.
enum class Focus : std::uint8_t { kAll, kWrite, kTrim, kZero, kFlush, kClose, kSuccession };

class Session {
 public:
  Session(const Shape& shape, std::uint32_t seed, Focus focus = Focus::kAll)
      : shape_(shape),
        focus_(focus),
        random_(seed),
        recording_(std::shared_ptr<File>(shape.builder().file())),
        disk_(std::make_shared<RecordingFile>(recording_), shape.type, shape.sectors(), shape.block_bytes) {
    moments_.push_back(disk_.history.moment());
    if (focus_ != Focus::kSuccession) return;
    auto memory = IntentMemory::create();
    EXPECT_TRUE(memory) << memory.error().message();
    memory_ = *std::move(memory);
  }

  /// The last sector is the recovery's own.
  std::uint64_t spare() const { return shape_.sectors() - 1; }

  void run(int steps) {
    open();
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) step();
    close();
  }

  ExploreReport explore(std::uint64_t most_states) {
    disk_.history.add(spare(), kRecoveryMark);
    sectors_ = disk_.history.interesting();
    ExploreOptions options;
    options.seed = random_();
    options.exhaustive_pieces = 6;
    options.random_states = 24;
    options.most_states = most_states;
    options.trashable = {{0, kFooterBytes}};  // the front copy: its checksum tells
    options.trashed_states = 4;
    options.recover_every = 20;
    options.recovery_states = 8;
    options.recover = [&](std::unique_ptr<File> file) { return recover(std::move(file)); };
    return testing::explore_crashes(recording_, options, [&](CrashState& state) { return judge(state); });
  }

 private:
  static constexpr Mark kRecoveryMark = 0x5151'5151'5151'5151;

  void open() {
    const Status opened = disk_.open(random_() % 3 != 0 ? kStepwise : Growth{}, memory_.get());
    ASSERT_TRUE(opened) << opened.error().message();
  }

  void close() {
    const auto moment = disk_.history.moment();
    const Status closed = disk_.image().close();
    ASSERT_TRUE(closed) << closed.error().message();
    promise(moment);
    disk_.drop();
  }

  void promise(const History::Moment& moment) {
    moments_.push_back(moment);
    recording_.promise(moments_.size() - 1);
  }

  void flush() {
    const auto moment = disk_.history.moment();
    // What another thread could do while the flush runs is in no promise.
    if (random_() % 2 == 0) {
      recording_.during_flush = [this] {
        const auto again = std::exchange(recording_.during_flush, nullptr);
        write();
      };
    }
    const Status flushed = disk_.image().flush();
    recording_.during_flush = nullptr;
    ASSERT_TRUE(flushed) << flushed.error().message();
    promise(moment);
  }

  std::uint64_t any_sector() { return random_() % spare(); }

  void write() {
    const std::uint64_t first = any_sector();
    const std::uint64_t count = std::min<std::uint64_t>(1 + random_() % 12, spare() - first);
    const Status written = disk_.write(first, count);
    ASSERT_TRUE(written) << written.error().message();
  }

  /// The number of a step, of sixteen kinds.
  std::uint32_t choose() {
    const std::uint32_t any = random_() % 16;
    // Without writes, and flushes between them, there is nothing to trim, to flush or to lose.
    if (focus_ == Focus::kAll || any >= 11) return any;
    if (any < 3) return kFlushStep;
    constexpr std::uint32_t kSteps[] = {0,          kWriteStep, kTrimStep,      kZeroStep,
                                        kFlushStep, kCloseStep, kSuccessionStep};
    return kSteps[static_cast<std::size_t>(focus_)];
  }

  static constexpr std::uint32_t kCloseStep = 0, kSuccessionStep = 1, kFlushStep = 2, kTrimStep = 6,
                                 kZeroStep = 8, kWriteStep = 15;

  void step() {
    const std::uint64_t per_block = shape_.block_bytes / 512;
    const std::uint64_t block = random_() % (shape_.blocks - 1);
    switch (choose()) {
      case kCloseStep:
        close();
        return open();
      case kSuccessionStep: {
        // The process dies, the machine does not: what was written is in the page cache, flushed or not.
        const auto moment = disk_.history.moment();
        disk_.drop();
        const bool taken_over = memory_ && !memory_->pending().value().empty();
        open();
        if (!memory_) return disk_.observe();
        // Whoever takes something over flushes.
        if (taken_over) promise(moment);
        return;
      }
      case kFlushStep:
      case 3:
      case 4:
      case 5:
        return flush();
      case kTrimStep:
      case 7: {
        ASSERT_TRUE(disk_.trim(
            block * per_block,
            std::min((1 + random_() % 3) * per_block, spare() / per_block * per_block - block * per_block)));
        return;
      }
      case kZeroStep:
        ASSERT_TRUE(disk_.zero(block * per_block, per_block));
        return;
      case 9:
        ASSERT_TRUE(disk_.zero(any_sector(), 1));
        return;
      default:
        return write();
    }
  }

  Status recover(std::unique_ptr<File> file) const {
    auto image = VDISK_TRY(VhdImage::open_growing(std::move(file), with_write(true), kStepwise));
    VDISK_TRY(write_disk(*image, spare() * 512, std::vector<std::byte>(512, std::byte{0x51})));
    return image->close();
  }

  std::string judge(CrashState& state) const {
    std::uint64_t last = 0;
    for (const testing::IoEvent* made : state.promises) {
      if (made->promise != testing::kRecovered) last = std::max(last, made->promise);
    }
    std::string wrong = judge_disk(state.file, disk_.history, moments_[last], sectors_);
    if (!wrong.empty()) return wrong;
    if (!state.promised(testing::kRecovered)) return {};
    const auto image = open_shared(state.file, false);
    if (mark_at(**image, spare()) != kRecoveryMark) return "what the recovery wrote and flushed is gone";
    return {};
  }

  const Shape shape_;
  const Focus focus_;
  std::mt19937 random_;
  Recording recording_;
  std::unique_ptr<IntentMemory> memory_;  // where killed sessions have successors
  MarkedDisk disk_;
  std::vector<std::uint64_t> sectors_;    // that are looked at
  std::vector<History::Moment> moments_;  // by promise; the first is the beginning
};

struct Total {
  std::uint64_t states = 0;
  std::uint64_t recovered = 0;
};

/// A session of each shape and variant, round after round until there are enough states.
Total explore_all(DiskType type, std::uint32_t first_seed, std::uint64_t states, Focus focus = Focus::kAll) {
  Total total;
  std::uint32_t seed = first_seed;
  struct Size {
    std::uint32_t block_bytes;
    std::uint64_t blocks;
  };
  while (total.states < states) {
    for (const Size size :
         {Size{512, 60}, Size{4096, 14}, Size{512 << 10, 6}, Size{2 << 20, 4}, Size{8 << 20, 3}}) {
      // What a session begins with matters little to the size of its blocks.
      for (int variant = 0; variant < 8; variant += size.block_bytes < 100'000 ? 1 : 4) {
        const Shape shape{type, size.block_bytes, std::max<std::uint64_t>(size.blocks, variant == 1 ? 7 : 4),
                          variant};
        ++seed;
        SCOPED_TRACE(::testing::Message() << "session seed " << seed << ", block size " << size.block_bytes
                                          << ", variant " << variant);
        Session session(shape, seed, focus);
        session.run(size.block_bytes < 100'000 ? 24 : 12);
        if (::testing::Test::HasFatalFailure()) return total;
        const ExploreReport report = session.explore(size.block_bytes < 100'000 ? 9 : 5);
        EXPECT_EQ(report.failure, "");
        total.states += report.states;
        total.recovered += report.recovered;
        if (!report.failure.empty()) return total;
      }
    }
  }
  return total;
}

TEST(VhdWriteCrash, WhatABitmapHidesShowsOnlyWithItsPayload) {
  // One sector of a block that is there and whose bits are clear; every state is looked at.
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    const Shape shape{type, 4096, 5, 7};
    Recording recording(std::shared_ptr<File>(shape.builder().file()));
    MarkedDisk disk(std::make_shared<RecordingFile>(recording), type, shape.sectors(), 4096);
    const auto beginning = disk.history.moment();
    ASSERT_TRUE(disk.open(kStepwise));
    ASSERT_TRUE(disk.write(9, 2));
    const auto before = disk.history.moment();
    ASSERT_TRUE(disk.image().flush());
    recording.promise(1);
    ASSERT_TRUE(disk.write(12, 2));
    ASSERT_TRUE(disk.image().close());
    const auto sectors = disk.history.interesting();
    const auto report = testing::explore_crashes(recording, {}, [&](CrashState& state) {
      return judge_disk(state.file, disk.history, state.promised(1) ? before : beginning, sectors);
    });
    EXPECT_EQ(report.failure, "");
    EXPECT_GE(report.states, 20u);
  }
}

TEST(VhdWriteCrash, TheCleanEndNeverLacksAFooter) {
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    Recording recording(std::shared_ptr<File>(Shape{type, 4096, 5, 0}.builder().file()));
    const auto image = open_shared(std::make_shared<RecordingFile>(recording));
    ASSERT_TRUE(image);
    ASSERT_TRUE(fill_disk(**image, 0, 4096, 1));
    ASSERT_TRUE((*image)->flush());
    const std::size_t before = recording.events().size();
    ASSERT_TRUE((*image)->close());  // gives back what the file grew ahead
    const auto report = testing::explore_crashes(recording, {}, [&](CrashState& state) -> std::string {
      const std::string found = flaws(state.file, Finding::Severity::kWarning);
      return state.events_issued > before && found.find("vhd.footer") != std::string::npos ? found : "";
    });
    EXPECT_EQ(report.failure, "");
    EXPECT_GE(report.states, 20u);
  }
}

TEST(VhdWriteCrash, ADynamicDiskHoldsAtEveryMoment) {
  const Total total = explore_all(DiskType::kDynamic, 1000, 10'000 * testing::search_scale());
  RecordProperty("crash_states.vhd.mixed", std::to_string(total.states));
  EXPECT_GE(total.recovered, 300u);
}

TEST(VhdWriteCrash, ADifferencingDiskHoldsAtEveryMoment) {
  const Total total = explore_all(DiskType::kDifferencing, 500'000, 10'000 * testing::search_scale());
  RecordProperty("crash_states.vhd.mixed", std::to_string(total.states));
  EXPECT_GE(total.recovered, 300u);
}

class VhdOperationCrashes : public ::testing::TestWithParam<std::pair<const char*, Focus>> {};
INSTANTIATE_TEST_SUITE_P(Operations, VhdOperationCrashes,
                         ::testing::Values(std::pair("write", Focus::kWrite), std::pair("trim", Focus::kTrim),
                                           std::pair("zero", Focus::kZero), std::pair("flush", Focus::kFlush),
                                           std::pair("close", Focus::kClose),
                                           std::pair("succession", Focus::kSuccession)),
                         [](const auto& operation) { return operation.param.first; });

TEST_P(VhdOperationCrashes, AreHarmless) {
  const auto [operation, focus] = GetParam();
  std::uint64_t states = 0;
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    states += explore_all(type, 2'000'000, 5000 * testing::search_scale(), focus).states;
  }
  RecordProperty(std::string("crash_states.vhd.") + operation, std::to_string(states));
}

}  // namespace
}  // namespace vdisk::vhd
