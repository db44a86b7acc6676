// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

#include "base/crc32c.h"
#include "base/fault.h"
#include "format/vhdx/header.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/log.h"
#include "testing/cow_file.h"
#include "testing/crash_explorer.h"
#include "testing/fault_file.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::vhdx {
namespace {

using testing::LogWrite;
using testing::VhdxLogBuilder;
using testing::VhdxLogHost;

constexpr std::uint64_t kPage = kLogSectorBytes;
constexpr std::uint64_t kFirst = 2 * kMiB;               // pages, then a page over zeros
constexpr std::uint64_t kZeros = 3 * kMiB;               // zeros over old bytes
constexpr std::uint64_t kBehind = 5 * kMiB + 4 * kPage;  // behind the end of the file
constexpr std::uint64_t kOldSize = 4 * kMiB;
constexpr std::uint64_t kNewSize = 7 * kMiB;
constexpr std::uint64_t kReplayed = 1;  // promise: replay_log has returned

/// A wrapped log of three entries: pages that replace one another, zeros, a page above them, growth.
struct Scene {
  VhdxLogBuilder log;
  std::shared_ptr<MemoryFile> file;
  std::vector<std::byte> expected;  ///< From the region tables on, as it is after replay.

  explicit Scene(const VhdxLogHost& host = {.file_bytes = kOldSize}) {
    const std::uint64_t tail = kMiB - 3 * kPage;
    std::uint64_t at = log.add({.at = tail, .sequence = 90, .tail = tail, .writes = pages(kFirst, 3, 10)});
    at =
        log.add({.at = at,
                 .sequence = 91,
                 .tail = tail,
                 .writes = {LogWrite::zeros(kZeros, 16 * kPage), LogWrite::pattern(kZeros + 3 * kPage, 30)}});
    auto last = pages(kBehind, 2, 40);
    last.push_back(LogWrite::pattern(kFirst + kPage, 50));
    last.push_back(LogWrite::pattern(kRegionTableAt[0], 60));
    log.add({.at = at,
             .sequence = 92,
             .tail = tail,
             .writes = last,
             .flushed_file_offset = kOldSize,
             .last_file_offset = kNewSize});
    file = testing::make_vhdx_with_log(log, host);
    EXPECT_TRUE(file->write(FileOffset{kFirst}, std::vector<std::byte>(8 * kPage, std::byte{0xAA})));
    EXPECT_TRUE(file->write(FileOffset{kZeros}, std::vector<std::byte>(64 * kKiB, std::byte{0xBB})));

    expected.resize(kNewSize - kRegionTableAt[0]);
    EXPECT_TRUE(file->read(FileOffset{kRegionTableAt[0]}, expected));
    put(kFirst, 10);
    put(kFirst + kPage, 50);
    put(kFirst + 2 * kPage, 12);
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(kZeros - kRegionTableAt[0]), 16 * kPage,
                std::byte{0});
    put(kZeros + 3 * kPage, 30);
    put(kBehind, 40);
    put(kBehind + kPage, 41);
    put(kRegionTableAt[0], 60);
  }

  LogRegion region() { return testing::region_of(log); }

  static std::vector<LogWrite> pages(std::uint64_t at, unsigned count, unsigned value) {
    std::vector<LogWrite> writes;
    for (unsigned i = 0; i < count; ++i) writes.push_back(LogWrite::pattern(at + i * kPage, value + i));
    return writes;
  }
  void put(std::uint64_t at, unsigned value) {
    std::ranges::copy(testing::pattern_page(value),
                      expected.begin() + static_cast<std::ptrdiff_t>(at - kRegionTableAt[0]));
  }

  /// "" when the file, through its log if it still has one, shows what it must.
  std::string judge(const std::shared_ptr<File>& left, bool must_be_clean) {
    auto headers = read_headers(*left);
    if (!headers) return headers.error().message();
    const Header& header = headers->current;
    if (header.data_write_guid != VhdxLogHost{}.data_write_guid) return "DataWriteGuid has changed";
    std::unique_ptr<File> shown = std::make_unique<testing::CowFile>(left);
    if (!header.log_guid.is_zero()) {
      if (must_be_clean) return "the log is still there";
      if (header.file_write_guid == VhdxLogHost{}.file_write_guid) {
        // Nothing may have changed before FileWriteGuid did.
        if (*left->size() != kOldSize || content(*left) != content(*file))
          return "changed before FileWriteGuid";
      }
      auto overlay = overlay_log(std::move(shown), region(), {});
      if (!overlay) return overlay.error().message();
      shown = std::move(*overlay);
    }
    if (*shown->size() != kNewSize) return fmt::format("the file has {:#x} bytes", *shown->size());
    return content(*shown) == expected ? "" : "wrong bytes";
  }

  static std::vector<std::byte> content(File& shown) {
    std::vector<std::byte> bytes(kNewSize - kRegionTableAt[0]);
    EXPECT_TRUE(read_zero_padded(shown, FileOffset{kRegionTableAt[0]}, bytes));
    return bytes;
  }
};

TEST(LogReplay, PutsAllInPlaceAndClosesTheLog) {  // cases 45, 46, 51, 53
  Scene scene;
  std::vector<std::string> said;
  ImageOpen open;
  open.trace = [&](TraceLevel, std::string_view text) { said.emplace_back(text); };
  const auto left = std::make_shared<testing::CowFile>(scene.file);
  ASSERT_TRUE(replay_log(*left, scene.region(), open));
  EXPECT_EQ(scene.judge(left, true), "");
  EXPECT_EQ(said.size(), 1u);
  const Headers headers = *read_headers(*left);
  EXPECT_TRUE(headers.other_valid);
  for (const HeaderCopy& copy : headers.copies) {
    EXPECT_TRUE(copy.header->log_guid.is_zero());
    EXPECT_NE(copy.header->file_write_guid, VhdxLogHost{}.file_write_guid);
    EXPECT_EQ(copy.header->file_write_guid, headers.current.file_write_guid);
  }
  EXPECT_EQ(headers.current.sequence_number, VhdxLogHost{}.header_sequence + 4);
}

TEST(LogReplay, RefusesALogThatTheHeaderNoLongerNames) {
  Scene scene;
  testing::CowFile left(scene.file);
  ASSERT_TRUE(replay_log(left, scene.region(), {}));
  EXPECT_EQ(replay_log(left, scene.region(), {}).error().id(), "vhdx.log.changed");
}

TEST(LogReplay, RefusesBeforeTheFirstWrite) {
  const auto recorded = [](VhdxLogBuilder& log, const VhdxLogHost& host, std::string& fault) {
    testing::Recording recording(testing::make_vhdx_with_log(log, host));
    testing::RecordingFile file(recording);
    const Status status = replay_log(file, testing::region_of(log), {});
    fault = status ? "" : std::string(status.error().id());
    return recording.events().size();
  };
  std::string fault;
  VhdxLogBuilder empty;
  EXPECT_EQ(recorded(empty, {}, fault), 0u);
  EXPECT_EQ(fault, "vhdx.log.empty");
  VhdxLogBuilder truncated;
  truncated.add({.flushed_file_offset = 80 * kMiB});
  EXPECT_EQ(recorded(truncated, {}, fault), 0u);
  EXPECT_EQ(fault, "vhdx.log.flushed_offset");
  VhdxLogBuilder good;
  good.add({});
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(recorded(good, {.header_sequence = most - 3}, fault), 0u);  // case 84
  EXPECT_EQ(fault, "vhdx.header.sequence");
  EXPECT_GT(recorded(good, {.header_sequence = most - 4}, fault), 0u);
  EXPECT_EQ(fault, "");
}

testing::ExploreOptions explore_options(Scene& scene) {
  testing::ExploreOptions options;
  options.trashable = {{kHeaderAt[0], kRegionTableAt[0] - kHeaderAt[0]}};
  options.recover = [&scene](std::unique_ptr<File> file) -> Status {
    const Headers headers = VDISK_TRY(read_headers(*file));
    if (headers.current.log_guid.is_zero()) return {};
    return replay_log(*file, scene.region(), {});
  };
  options.recover_every = 8;
  options.recovery_states = 12;
  return options;
}

testing::CrashOracle oracle_of(Scene& scene) {
  return [&scene](testing::CrashState& state) {
    return scene.judge(state.file, state.promised(kReplayed) || state.promised(testing::kRecovered));
  };
}

TEST(LogReplay, APowerCutAtAnyMomentIsHarmlessAndSoIsOneDuringTheNextReplay) {
  Scene scene;
  testing::Recording recording(scene.file);
  testing::RecordingFile file(recording);
  ASSERT_TRUE(replay_log(file, scene.region(), {}));
  recording.promise(kReplayed, "replayed");
  const auto report = testing::explore_crashes(recording, explore_options(scene), oracle_of(scene));
  EXPECT_EQ(report.failure, "");
  EXPECT_GT(report.states, 3000u);
  EXPECT_GT(report.recovery_states, 2000u);
  RecordProperty("states", static_cast<int>(report.states));
}

/// Swallows the n-th flush: replay with a planted bug.
class ForgetfulFile final : public File {
 public:
  ForgetfulFile(testing::Recording& recording, int forgotten) : below_(recording), forgotten_(forgotten) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_.read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override { return below_.write(at, from); }
  Status flush() override { return ++flushes_ == forgotten_ ? Status() : below_.flush(); }
  Result<std::uint64_t> size() override { return below_.size(); }
  Status resize(std::uint64_t size_bytes) override { return below_.resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return below_.zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_.punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_.next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_.next_hole(from); }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return below_.identity(); }
  const std::string& name() const noexcept override { return below_.name(); }
  int flushes() const noexcept { return flushes_; }

 private:
  testing::RecordingFile below_;
  const int forgotten_;
  int flushes_ = 0;
};

TEST(LogReplay, WithoutOneOfItsFlushesTheExplorerCatchesIt) {
  Scene scene;
  // 1 and 2: headers with the new FileWriteGuid; 3: the pages; 4 and 5: headers without log. The second of
  // each pair of headers repeats the first, which is already durable, so that its flush may be shared with
  // what follows; but a promise rests on the last.
  for (const int forgotten : {1, 3, 4}) {
    testing::Recording recording(scene.file);
    ForgetfulFile file(recording, forgotten);
    ASSERT_TRUE(replay_log(file, scene.region(), {}));
    ASSERT_EQ(file.flushes(), 5);
    recording.promise(kReplayed, "replayed");
    testing::ExploreOptions options = explore_options(scene);
    options.recover = nullptr;
    options.random_states = 2000;
    const auto report = testing::explore_crashes(recording, options, oracle_of(scene));
    EXPECT_NE(report.failure, "") << "without flush " << forgotten;
    EXPECT_NE(report.failure.find("VDISK_CRASH_SEED="), std::string::npos);
  }
}

TEST(LogReplay, AnyIoMayFail) {
  Scene scene;
  for (const int os_errno : {EIO, ENOSPC}) {
    for (const bool sticky : {false, true}) {
      const auto report = testing::run_fault_loop(
          scene.file, {.os_errno = os_errno, .sticky = sticky},
          [&](std::unique_ptr<File> file) { return replay_log(*file, scene.region(), {}); },
          [&](const std::shared_ptr<File>& left, const Status& result) -> std::string {
            if (std::string wrong = scene.judge(left, result.has_value()); !wrong.empty()) return wrong;
            // The next open puts it right.
            const auto again = std::make_shared<testing::CowFile>(left);
            if (!read_headers(*again)->current.log_guid.is_zero()) {
              if (const Status replayed = replay_log(*again, scene.region(), {}); !replayed) {
                return "a second replay fails: " + replayed.error().message();
              }
            }
            return scene.judge(again, true);
          });
      EXPECT_EQ(report.failure, "");
      EXPECT_GT(report.runs, 10u);
    }
  }
}

// On a full host replay stops where space is reserved: the file shows what it showed, but for FileWriteGuid.
TEST(LogReplay, AFullHostShowsBeforeTheFirstPage) {
  Scene scene;
  testing::Recording recording(scene.file);
  testing::RecordingFile file(recording);
  ASSERT_TRUE(replay_log(file, scene.region(), {}));
  bool reserved_all = false;
  bool resized = false;
  for (const testing::IoEvent& event : recording.events()) {
    using Kind = testing::IoEvent::Kind;
    const bool page = event.kind == Kind::kWrite && event.at >= kRegionTableAt[0];
    if (page) reserved_all = true;
    if (event.kind == Kind::kResize) resized = true;
    EXPECT_FALSE(reserved_all && event.kind == Kind::kResize) << event.to_string();
    if (event.kind == Kind::kZero && event.at == kBehind) {
      EXPECT_TRUE(resized) << "space behind the end";
      EXPECT_FALSE(reserved_all) << event.to_string();
      EXPECT_EQ(event.length, 2 * kPage);
      reserved_all = false;
    }
  }
  EXPECT_TRUE(resized && reserved_all);
}

}  // namespace
}  // namespace vdisk::vhdx
