// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/log_overlay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/crc32c.h"
#include "base/fault.h"
#include "base/win32_codes.h"
#include "testing/counting_file.h"
#include "testing/cow_file.h"
#include "testing/fault_file.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::vhdx {
namespace {

using testing::LogEntrySpec;
using testing::LogWrite;
using testing::VhdxLogBuilder;
using testing::VhdxLogHost;

constexpr std::uint64_t kPage = kLogSectorBytes;
constexpr std::uint64_t kTarget = 4 * kMiB;

std::unique_ptr<File> view_of(const std::shared_ptr<File>& file) {
  return std::make_unique<testing::CowFile>(file);
}

/// The overlay, or null with `fault` set.
std::unique_ptr<File> overlay_of(VhdxLogBuilder& log, const VhdxLogHost& host, std::string& fault) {
  auto overlay =
      overlay_log(view_of(testing::make_vhdx_with_log(log, host)), testing::region_of(log, host), {});
  fault = overlay ? "" : std::string(overlay.error().id());
  return overlay ? std::move(*overlay) : nullptr;
}
std::string fault_of(const LogEntrySpec& spec, const VhdxLogHost& host = {}) {
  VhdxLogBuilder log;
  log.add(spec);
  std::string fault;
  overlay_of(log, host, fault);
  return fault;
}

std::vector<std::byte> read_at(File& file, std::uint64_t at, std::size_t length) {
  std::vector<std::byte> bytes(length);
  const auto got = file.read(FileOffset{at}, bytes);
  EXPECT_TRUE(got);
  bytes.resize(got ? *got : 0);
  return bytes;
}

TEST(LogOverlay, ShowsTheLastOfSeveralChangesToOnePage) {
  VhdxLogBuilder log;
  std::uint64_t at =
      log.add({.sequence = 1, .writes = {LogWrite::pattern(kTarget, 1), LogWrite::pattern(kTarget, 2)}});
  at = log.add({.at = at,
                .sequence = 2,
                .tail = 0,
                .writes = {LogWrite::pattern(kTarget, 3), LogWrite::pattern(kTarget + kPage, 4)}});
  log.add({.at = at, .sequence = 3, .tail = 0, .writes = {LogWrite::zeros(kTarget + kPage, kPage)}});
  std::string fault;
  const auto overlay = overlay_of(log, {}, fault);
  ASSERT_NE(overlay, nullptr) << fault;
  EXPECT_EQ(read_at(*overlay, kTarget, kPage), testing::pattern_page(3));
  EXPECT_TRUE(is_all_zero(read_at(*overlay, kTarget + kPage, kPage)));
}

TEST(LogOverlay, RetiredEntriesBeforeTheTailAreNotShown) {  // case 48
  VhdxLogBuilder log;
  const std::uint64_t second = log.add({.sequence = 1, .writes = {LogWrite::pattern(kTarget, 1)}});
  log.add({.at = second, .sequence = 2, .tail = second, .writes = {LogWrite::pattern(kTarget + kPage, 2)}});
  std::string fault;
  const auto overlay = overlay_of(log, {}, fault);
  ASSERT_NE(overlay, nullptr) << fault;
  EXPECT_TRUE(is_all_zero(read_at(*overlay, kTarget, kPage)));
  EXPECT_EQ(read_at(*overlay, kTarget + kPage, kPage), testing::pattern_page(2));
}

TEST(LogOverlay, LastFileOffsetAndTargetsBehindTheEndMakeTheFileLonger) {  // case 51
  const auto size_with = [](const LogEntrySpec& spec, std::uint64_t file_bytes) {
    VhdxLogBuilder log;
    log.add(spec);
    std::string fault;
    const auto overlay = overlay_of(log, {.file_bytes = file_bytes}, fault);
    return overlay ? *overlay->size() : 0;
  };
  EXPECT_EQ(size_with({}, 4 * kMiB), 4 * kMiB);
  EXPECT_EQ(size_with({.last_file_offset = 6 * kMiB}, 4 * kMiB), 6 * kMiB);
  EXPECT_EQ(size_with({.last_file_offset = 6 * kMiB - 5}, 4 * kMiB), 6 * kMiB);
  EXPECT_EQ(size_with({.last_file_offset = 3 * kMiB}, 4 * kMiB + 512), 4 * kMiB + 512);  // case 65
  EXPECT_EQ(size_with({.writes = {LogWrite::pattern(9 * kMiB, 1)}}, 4 * kMiB), 10 * kMiB);
  EXPECT_EQ(size_with({.writes = {LogWrite::zeros(9 * kMiB, kMiB)}}, 4 * kMiB), 10 * kMiB);
}

TEST(LogOverlay, AFileThatWasTruncatedIsRefused) {  // cases 50, 83
  EXPECT_EQ(fault_of({.flushed_file_offset = 8 * kMiB}), "");
  EXPECT_EQ(fault_of({.flushed_file_offset = 0}), "");
  EXPECT_EQ(fault_of({.flushed_file_offset = 9 * kMiB}), "vhdx.log.flushed_offset");
  // Values that go down from entry to entry are what Windows writes; the head's counts.
  VhdxLogBuilder log;
  const std::uint64_t at = log.add({.sequence = 1, .flushed_file_offset = 36 * kMiB});
  log.add({.at = at, .sequence = 2, .tail = 0, .flushed_file_offset = 4 * kMiB});
  std::string fault;
  EXPECT_NE(overlay_of(log, {}, fault), nullptr) << fault;
}

TEST(LogOverlay, ForbiddenTargetsAreRefused) {
  const auto target = [](const LogWrite& write) { return fault_of({.writes = {write}}); };
  const std::string kForbidden = "vhdx.log.target";
  EXPECT_EQ(target(LogWrite::pattern(kRegionTableAt[0], 1)), "");
  EXPECT_EQ(target(LogWrite::pattern(0, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(kHeaderAt[0], 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(kRegionTableAt[0] - kPage, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(kTarget + 512, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(kMiB, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(2 * kMiB - kPage, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::pattern(2 * kMiB, 1)), "");
  EXPECT_EQ(target(LogWrite::pattern(0xFFFFFFFFFFFFF000, 1)), kForbidden);
  EXPECT_EQ(target(LogWrite::zeros(kTarget, 512)), kForbidden);
  EXPECT_EQ(target(LogWrite::zeros(kTarget, 0)), "");
  EXPECT_EQ(target(LogWrite::zeros(kMiB - kPage, 2 * kPage)), kForbidden);
  EXPECT_EQ(target(LogWrite::zeros(kTarget, 0xFFFFFFFFFFFFF000)), kForbidden);
  EXPECT_EQ(fault_of({.last_file_offset = 0xFFFFFFFFFFF00000}), "vhdx.log.file_size");
  // What stands before the tail is not replayed and may be anything.
  VhdxLogBuilder log;
  const std::uint64_t at = log.add({.sequence = 1, .writes = {LogWrite::pattern(0, 1)}});
  log.add({.at = at, .sequence = 2});
  std::string fault;
  EXPECT_NE(overlay_of(log, {}, fault), nullptr) << fault;
}

TEST(LogOverlay, ZerosOfAnyLengthCostNothing) {
  VhdxLogBuilder log;
  log.add({.writes = {LogWrite::zeros(2 * kMiB, std::uint64_t{1} << 50), LogWrite::pattern(3 * kMiB, 5)}});
  std::string fault;
  const auto overlay = overlay_of(log, {}, fault);
  ASSERT_NE(overlay, nullptr) << fault;
  EXPECT_EQ(*overlay->size(), (std::uint64_t{1} << 50) + 2 * kMiB);
  EXPECT_EQ(read_at(*overlay, 3 * kMiB, kPage), testing::pattern_page(5));
  EXPECT_TRUE(is_all_zero(read_at(*overlay, std::uint64_t{1} << 49, kPage)));
  EXPECT_EQ(overlay->next_data(FileOffset{2 * kMiB})->bytes, 3 * kMiB);
  EXPECT_EQ(overlay->next_hole(FileOffset{3 * kMiB})->bytes, 3 * kMiB + kPage);
}

TEST(LogOverlay, IsReadOnlyAndWritesNothingBelow) {
  VhdxLogBuilder log;
  log.add({.writes = {LogWrite::pattern(kTarget, 1)}});
  testing::IoCounts counts;
  std::vector<std::string> said;
  ImageOpen open;
  open.trace = [&](TraceLevel, std::string_view text) { said.emplace_back(text); };
  const auto file = testing::make_vhdx_with_log(log);
  auto made = overlay_log(std::make_unique<testing::CountingFile>(view_of(file), counts),
                          testing::region_of(log), open);
  ASSERT_TRUE(made);
  File& overlay = **made;
  EXPECT_EQ(said.size(), 1u);
  EXPECT_FALSE(overlay.writable());
  EXPECT_EQ(overlay.fd(), -1);
  const std::vector<std::byte> bytes(512);
  EXPECT_EQ(overlay.write(FileOffset{kTarget}, bytes).error().code(), win32::kWriteProtect);
  EXPECT_EQ(overlay.resize(1).error().code(), win32::kWriteProtect);
  EXPECT_EQ(overlay.zero(FileOffset{0}, 1).error().code(), win32::kWriteProtect);
  EXPECT_EQ(overlay.punch(FileOffset{0}, 1).error().code(), win32::kWriteProtect);
  EXPECT_TRUE(overlay.flush());
  EXPECT_EQ(counts.writes + counts.flushes + counts.resizes, 0u);
  EXPECT_EQ(overlay.identity()->inode, file->identity()->inode);

  // Payload that the log does not touch costs exactly one read below.
  const std::uint64_t before = counts.reads;
  read_at(overlay, kTarget + kPage, 64 * kKiB);
  EXPECT_EQ(counts.reads, before + 1);
  EXPECT_EQ(read_at(overlay, 8 * kMiB, 1).size(), 0u);
  EXPECT_EQ(read_at(overlay, 8 * kMiB - 10, 100).size(), 10u);
}

/// Random logs: the overlay must show, byte for byte and at any alignment, what replay leaves in the file.
TEST(LogOverlay, AgreesWithReplayOnRandomLogs) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 12; ++round) {
    VhdxLogBuilder log;
    std::uint64_t at = random() % 256 * kPage;
    const std::uint64_t tail = at;
    for (std::uint64_t number = 1; number <= 1 + random() % 8; ++number) {
      LogEntrySpec spec = {
          .at = at, .sequence = number, .tail = tail, .last_file_offset = random() % 12 * kMiB};
      for (unsigned i = 0; i < random() % 20; ++i) {
        const std::uint64_t target = 2 * kMiB + random() % 64 * kPage + random() % 2 * 6 * kMiB;
        spec.writes.push_back(random() % 3 == 0 ? LogWrite::zeros(target, random() % 20 * kPage)
                                                : LogWrite::pattern(target, static_cast<unsigned>(random())));
      }
      at = log.add(spec);
    }
    const auto file = testing::make_vhdx_with_log(log, {.file_bytes = 3 * kMiB + random() % 3 * 512});
    for (std::uint64_t i = 2 * kMiB; i < 3 * kMiB; i += 128 * kKiB) {
      ASSERT_TRUE(file->write(FileOffset{i}, std::vector<std::byte>(64 * kKiB, std::byte{0xEE})));
    }
    testing::CowFile replayed(file);
    ASSERT_TRUE(replay_log(replayed, testing::region_of(log), {}));
    auto overlay = overlay_log(view_of(file), testing::region_of(log), {});
    ASSERT_TRUE(overlay);
    ASSERT_EQ(*(*overlay)->size(), *replayed.size());
    const std::uint64_t size = *replayed.size();
    ASSERT_EQ(read_at(**overlay, kRegionTableAt[0], size), read_at(replayed, kRegionTableAt[0], size));
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t from = kRegionTableAt[0] + random() % (size - kRegionTableAt[0]);
      const std::size_t length = random() % (64 * kKiB);
      ASSERT_EQ(read_at(**overlay, from, length), read_at(replayed, from, length));
      const std::uint64_t hole = (*overlay)->next_hole(FileOffset{from})->bytes;
      const std::uint64_t data = (*overlay)->next_data(FileOffset{hole})->bytes;
      ASSERT_LE(hole, data);
      ASSERT_TRUE(is_all_zero(read_at(**overlay, hole, std::min(data - hole, 32 * kKiB))));
      const std::uint64_t next = (*overlay)->next_data(FileOffset{from})->bytes;
      ASSERT_TRUE(is_all_zero(read_at(**overlay, from, std::min(next - from, 32 * kKiB))));
    }
  }
}

TEST(LogOverlay, EveryReadMayFail) {
  VhdxLogBuilder log;
  log.add({.writes = {LogWrite::pattern(kTarget, 1)}});
  const auto report = testing::run_fault_loop(
      testing::make_vhdx_with_log(log), {.os_errno = EIO},
      [&](std::unique_ptr<File> file) -> Status {
        const auto overlay = VDISK_TRY(overlay_log(std::move(file), testing::region_of(log), {}));
        std::vector<std::byte> bytes(2 * kPage);
        VDISK_TRY(overlay->read(FileOffset{kTarget}, bytes));
        VDISK_TRY(overlay->next_data(FileOffset{0}));
        VDISK_TRY(overlay->next_hole(FileOffset{0}));
        return {};
      },
      [](const std::shared_ptr<File>&, const Status& result) -> std::string {
        return result || result.error().id() == "io.device" ? "" : result.error().message();
      });
  EXPECT_EQ(report.failure, "");
  EXPECT_GE(report.runs, 5u);
}

CheckReport check(VhdxLogBuilder& log) {
  CheckReport report;
  CheckSink sink(report, "dirty.vhdx");
  EXPECT_TRUE(check_log(*testing::make_vhdx_with_log(log), testing::region_of(log), {}, sink));
  return report;
}

TEST(LogCheck, SaysWhatTheLogHolds) {
  VhdxLogBuilder log;
  const std::uint64_t at =
      log.add({.sequence = 41,
               .writes = {LogWrite::pattern(kTarget, 1), LogWrite::zeros(kTarget + kMiB, kMiB)},
               .last_file_offset = 9 * kMiB});
  log.add({.at = at, .sequence = 42, .tail = 0, .last_file_offset = 9 * kMiB + 1});
  const CheckReport report = check(log);
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_FALSE(report.damaged());
  EXPECT_EQ(report.findings[0].fault, "vhdx.log.pending");
  for (const char* part : {"2 entries", "41 to 42", "1 page ", "0x100000 bytes of zeros", "to 0xa00000"}) {
    EXPECT_NE(report.findings[0].message.find(part), std::string::npos) << report.findings[0].message;
  }
  EXPECT_EQ(report.findings[1].fault, "vhdx.log.unaligned");
}

TEST(LogCheck, TellsTornEntriesFromDamage) {
  VhdxLogBuilder log;
  const std::uint64_t at = log.add({.sequence = 1});
  log.add({.at = at, .sequence = 2, .writes = {LogWrite::pattern(kTarget, 1)}, .torn_after = 4096});
  const CheckReport torn = check(log);
  EXPECT_FALSE(torn.damaged());
  ASSERT_EQ(torn.findings.size(), 2u);
  EXPECT_EQ(torn.findings[1].fault, "vhdx.log.torn");

  VhdxLogBuilder empty;
  empty.add({.bad_checksum = true});
  const CheckReport damage = check(empty);
  EXPECT_TRUE(damage.damaged());
  EXPECT_EQ(damage.findings[0].fault, "vhdx.log.empty");
  EXPECT_EQ(damage.findings[0].code, win32::kFileCorrupt);

  CheckReport report;
  CheckSink sink(report, "dirty.vhdx");
  testing::FaultFile failing(testing::make_vhdx_with_log(log), {.fail_at = 1});
  EXPECT_FALSE(check_log(failing, testing::region_of(log), {}, sink));
}

}  // namespace
}  // namespace vdisk::vhdx
