// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/log_parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/crc32c.h"
#include "base/fault.h"
#include "testing/counting_file.h"
#include "testing/cow_file.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::vhdx {
namespace {

using testing::LogEntrySpec;
using testing::LogWrite;
using testing::VhdxLogBuilder;

constexpr std::uint64_t kPage = kLogSectorBytes;
constexpr std::uint64_t kTarget = 4 * kMiB;

struct Scanned {
  LogScan scan;
  std::string fault;  ///< "" for success
  testing::IoCounts counts;
};

std::unique_ptr<Scanned> scan_log(VhdxLogBuilder& log, const Limits& limits = {}) {
  auto result = std::make_unique<Scanned>();
  const testing::VhdxLogHost host = {.file_bytes = 8 * kMiB + log.bytes().size()};
  testing::CountingFile file(std::make_unique<testing::CowFile>(testing::make_vhdx_with_log(log, host)),
                             result->counts);
  LogReader reader(file, testing::region_of(log));
  if (const Status status = reader.scan(limits, result->scan); !status) result->fault = status.error().id();
  return result;
}

std::vector<std::uint64_t> sequences(const std::vector<LogEntry>& entries) {
  std::vector<std::uint64_t> numbers;
  for (const LogEntry& entry : entries) numbers.push_back(entry.sequence);
  return numbers;
}
using Numbers = std::vector<std::uint64_t>;

TEST(LogParse, OneEmptyEntryIsALog) {  // case 49
  VhdxLogBuilder log;
  log.add({.sequence = 5});
  const auto found = scan_log(log);
  EXPECT_EQ(found->fault, "");
  EXPECT_EQ(sequences(found->scan.active), Numbers{5});
  EXPECT_EQ(found->scan.active[0].descriptor_count, 0u);
}

TEST(LogParse, NoEntryIsCorrupt) {  // case 44
  VhdxLogBuilder log;
  EXPECT_EQ(scan_log(log)->fault, "vhdx.log.empty");
  log.add({.guid = Guid{{9}}});
  EXPECT_EQ(scan_log(log)->fault, "vhdx.log.empty");
}

TEST(LogParse, SeveralEntriesFromTheTailThatTheHeadNames) {  // case 48
  VhdxLogBuilder log;
  std::uint64_t at = 0;
  std::vector<std::uint64_t> places;
  for (std::uint64_t number = 10; number < 16; ++number) {
    places.push_back(at);
    at = log.add({.at = at,
                  .sequence = number,
                  .tail = number == 15 ? places[3] : places[0],
                  .writes = {LogWrite::pattern(kTarget, 1)}});
  }
  const auto found = scan_log(log);
  EXPECT_EQ(sequences(found->scan.entries), (Numbers{10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(sequences(found->scan.active), (Numbers{13, 14, 15}));
}

TEST(LogParse, AWrappedSequenceIsFoundThoughItsSecondHalfIsMetFirst) {  // case 45
  VhdxLogBuilder log;
  const std::uint64_t tail = kMiB - 6 * kPage;
  std::uint64_t at = tail;
  for (std::uint64_t number = 100; number < 105; ++number) {
    at = log.add({.at = at, .sequence = number, .tail = tail, .writes = {LogWrite::pattern(kTarget, 1)}});
  }
  ASSERT_EQ(at, 4 * kPage);
  const auto found = scan_log(log);
  EXPECT_EQ(found->scan.entries.front().at, 0u);
  EXPECT_EQ(sequences(found->scan.active), (Numbers{100, 101, 102, 103, 104}));
}

TEST(LogParse, AnEntryMayWrapInItsDescriptorsAndInItsData) {  // cases 46, 54
  for (const std::uint64_t before : {1, 2, 3, 100}) {
    VhdxLogBuilder log;
    std::vector<LogWrite> writes;
    for (unsigned i = 0; i < 127; ++i) writes.push_back(LogWrite::pattern(kTarget + i * kPage, i));
    log.add({.at = kMiB - before * kPage, .sequence = 3, .writes = writes});
    const auto found = scan_log(log);
    ASSERT_EQ(sequences(found->scan.active), Numbers{3}) << before;
    EXPECT_EQ(found->scan.active[0].length, (2 + 127) * kPage);

    testing::CowFile file(testing::make_vhdx_with_log(log));
    LogReader reader(file, testing::region_of(log));
    LogScan scan;
    ASSERT_TRUE(reader.scan({}, scan));
    unsigned next = 0;
    const Status shown = reader.changes(scan.active[0], [&](const LogChange& change) -> Status {
      EXPECT_EQ(change.file_offset, kTarget + next * kPage);
      EXPECT_TRUE(std::ranges::equal(*change.page, testing::pattern_page(next)));
      ++next;
      return {};
    });
    EXPECT_TRUE(shown);
    EXPECT_EQ(next, 127u);
  }
}

TEST(LogParse, DescriptorCountsAroundTheSectorEdges) {  // case 54
  for (const std::size_t count : {1u, 125u, 126u, 127u, 254u, 255u, 1000u}) {
    VhdxLogBuilder log;
    std::vector<LogWrite> writes;
    for (std::size_t i = 0; i < count; ++i) writes.push_back(LogWrite::zeros(kTarget + i * kPage, kPage));
    log.add({.writes = writes});
    const auto found = scan_log(log);
    ASSERT_EQ(found->fault, "") << count;
    EXPECT_EQ(found->scan.active[0].descriptor_count, count);
  }
}

TEST(LogParse, AStaleEntryWithALowerNumberIsNotPartOfTheSequence) {  // case 47
  VhdxLogBuilder log;
  std::uint64_t at = log.add({.sequence = 99});
  at = log.add({.at = at, .sequence = 100, .tail = 0});
  log.add({.at = at, .sequence = 5, .tail = 0, .writes = {LogWrite::pattern(kTarget, 1)}});
  EXPECT_EQ(sequences(scan_log(log)->scan.active), (Numbers{99, 100}));
}

TEST(LogParse, ATornHeadEndsTheSequenceBeforeIt) {
  VhdxLogBuilder log;
  std::uint64_t at = log.add({.sequence = 1});
  at = log.add({.at = at, .sequence = 2, .tail = 0, .writes = {LogWrite::pattern(kTarget, 1)}});
  log.add(
      {.at = at, .sequence = 3, .tail = 0, .writes = {LogWrite::pattern(kTarget, 2)}, .torn_after = 4608});
  const auto found = scan_log(log);
  EXPECT_EQ(sequences(found->scan.active), (Numbers{1, 2}));
  EXPECT_EQ(found->scan.torn_entries, 1u);
}

TEST(LogParse, OfTwoSequencesTheGreaterHeadWins) {
  VhdxLogBuilder log;
  log.add({.at = 0, .sequence = 50});
  log.add({.at = 20 * kPage, .sequence = 70});
  log.add({.at = 40 * kPage, .sequence = 60});
  EXPECT_EQ(sequences(scan_log(log)->scan.active), Numbers{70});
}

TEST(LogParse, OfEqualHeadsTheFirstMetWins) {
  VhdxLogBuilder log;
  log.add({.at = 20 * kPage, .sequence = 70});
  log.add({.at = 40 * kPage, .sequence = 70});
  const auto found = scan_log(log);
  ASSERT_EQ(found->scan.active.size(), 1u);
  EXPECT_EQ(found->scan.active[0].at, 20 * kPage);
}

TEST(LogParse, ATailOutsideTheSequenceIsIncomplete) {
  VhdxLogBuilder log;
  log.add({.at = 4 * kPage, .sequence = 8, .tail = 0});
  EXPECT_EQ(scan_log(log)->fault, "vhdx.log.incomplete");
  // An older, complete sequence elsewhere does not have to suffer for it.
  log.add({.at = 40 * kPage, .sequence = 3});
  EXPECT_EQ(sequences(scan_log(log)->scan.active), Numbers{3});
}

TEST(LogParse, TheLastSequenceNumberHasNoSuccessor) {
  VhdxLogBuilder log;
  const std::uint64_t at = log.add({.sequence = ~std::uint64_t{0}});
  log.add({.at = at, .sequence = 1});
  EXPECT_EQ(sequences(scan_log(log)->scan.active), Numbers{~std::uint64_t{0}});
}

TEST(LogParse, AnEntryMayFillTheWholeRing) {
  VhdxLogBuilder log;
  std::vector<LogWrite> writes;
  // 2 descriptor sectors and 254 pages: 256 sectors.
  for (unsigned i = 0; i < 254; ++i) writes.push_back(LogWrite::pattern(kTarget + i * kPage, i));
  log.add({.at = 17 * kPage, .sequence = 3, .writes = writes});
  EXPECT_EQ(sequences(scan_log(log)->scan.active), Numbers{3});
}

TEST(LogParse, WrongEntriesAreNotValid) {
  const LogEntrySpec right = {.at = kPage, .sequence = 3, .writes = {LogWrite::pattern(kTarget, 1)}};
  const auto spoiled = [&](auto change) {
    LogEntrySpec spec = right;
    change(spec);
    VhdxLogBuilder log;
    log.add(spec);
    return scan_log(log)->fault;
  };
  const std::string kEmpty = "vhdx.log.empty";
  EXPECT_EQ(spoiled([](LogEntrySpec&) {}), "");
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.bad_checksum = true; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.sequence = 0; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.tail = 1; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.tail = kMiB; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.entry_length = 0; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.entry_length = 4097; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.entry_length = kMiB + kPage; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.descriptor_count = 0xFFFFFFFF; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.descriptor_count = 2; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.descriptor_count = 0; }), kEmpty);  // longer than its parts
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.extra_sectors = 1; }), kEmpty);
  EXPECT_EQ(spoiled([](LogEntrySpec& s) { s.guid = Guid{{1}}; }), kEmpty);
  const auto at = [&](std::size_t place) {
    return spoiled([=](LogEntrySpec& s) {
      s.spoil = [=](std::span<std::byte> entry) { entry[place] ^= std::byte{1}; };
    });
  };
  EXPECT_EQ(at(0), kEmpty);              // entry signature
  EXPECT_EQ(at(64), kEmpty);             // descriptor signature
  EXPECT_EQ(at(64 + 24), kEmpty);        // descriptor's sequence number
  EXPECT_EQ(at(kPage), kEmpty);          // data signature
  EXPECT_EQ(at(kPage + 4), kEmpty);      // sequence number's high half
  EXPECT_EQ(at(2 * kPage - 4), kEmpty);  // and its low half
  EXPECT_EQ(at(100 + 64), "");           // behind the descriptors anything may lie
}

TEST(LogParse, TheLimitOnLogBytesHolds) {
  VhdxLogBuilder log;
  log.add({});
  EXPECT_EQ(scan_log(log, {.log_bytes = kMiB - 1})->fault, "vhdx.log.too_large");
}

TEST(LogParse, LongLogsAreReadPieceByPiece) {
  VhdxLogBuilder log(LogReader::kCachedBytes + kMiB);
  const std::uint64_t tail = log.bytes().size() - kPage;
  std::uint64_t at = tail;
  for (std::uint64_t number = 1; number < 4; ++number) {
    at = log.add({.at = at, .sequence = number, .tail = tail, .writes = {LogWrite::pattern(kTarget * 8, 1)}});
  }
  const auto found = scan_log(log);
  EXPECT_EQ(sequences(found->scan.active), (Numbers{1, 2, 3}));
  EXPECT_LE(found->counts.bytes_read.load(), log.bytes().size() * 2);
}

// Every sector of the log claims to begin an entry as long as the log, with a right checksum where one can be
// had.
TEST(LogParse, AHostileLogIsReadOnceAndSummedAtMostOnce) {
  VhdxLogBuilder log;
  for (std::uint64_t at = 0; at < kMiB; at += kPage) {
    log.add({.at = at,
             .sequence = at / kPage + 1,
             .tail = 0,
             .entry_length = static_cast<std::uint32_t>(kMiB),
             .descriptor_count = static_cast<std::uint32_t>(at % 3 == 0 ? 0 : 126)});
  }
  const auto found = scan_log(log);
  EXPECT_EQ(found->fault, "vhdx.log.empty");
  EXPECT_EQ(found->counts.bytes_read.load(), kMiB);
  EXPECT_LE(found->scan.summed_bytes, kMiB);
  EXPECT_EQ(found->scan.torn_entries, 256u);

  // Entries whose shape holds up to the last sector, so that their checksums must be computed: still one
  // pass.
  VhdxLogBuilder shaped;
  for (std::uint64_t at = 0; at < kMiB; at += 8 * kPage) {
    std::vector<LogWrite> writes(7, LogWrite::pattern(kTarget, 1));
    shaped.add({.at = at, .sequence = at + 1, .writes = writes, .bad_checksum = at % (16 * kPage) == 0});
  }
  const auto second = scan_log(shaped);
  EXPECT_EQ(second->scan.entries.size(), 16u);
  EXPECT_EQ(second->scan.summed_bytes, kMiB);
  EXPECT_EQ(second->counts.bytes_read.load(), kMiB);
}

// A ring full of one-sector entries that form one path without a complete end: trying each start by itself
// would walk 134 million entries here.
TEST(LogParse, ALongIncompletePathIsWalkedOnce) {
  VhdxLogBuilder log(64 * kMiB);
  std::uint64_t number = 0;
  for (std::uint64_t at = kPage; at < 64 * kMiB; at += kPage)
    log.add({.at = at, .sequence = ++number, .tail = 0});
  const auto found = scan_log(log);
  EXPECT_EQ(found->fault, "vhdx.log.incomplete");
  EXPECT_EQ(found->scan.entries.size(), 16383u);
}

/// MS-VHDX 2.3.3 to the letter: tries each start, 4 KiB apart.
std::vector<std::uint64_t> search_by_the_letter(const std::vector<LogEntry>& entries,
                                                std::uint64_t log_length) {
  const auto entry_at = [&](std::uint64_t at) -> const LogEntry* {
    const auto found = std::ranges::find(entries, at, &LogEntry::at);
    return found == entries.end() ? nullptr : &*found;
  };
  std::vector<const LogEntry*> candidate;
  for (std::uint64_t tail = 0; tail < log_length;) {
    std::vector<const LogEntry*> sequence;
    std::uint64_t at = tail;
    for (const LogEntry* next = entry_at(at); next != nullptr; next = entry_at(at)) {
      if (!sequence.empty() && next->sequence != sequence.back()->sequence + 1) break;
      sequence.push_back(next);
      at = (at + next->length) % log_length;
    }
    const bool complete = !sequence.empty() && std::ranges::any_of(sequence, [&](const LogEntry* entry) {
      return entry->at == sequence.back()->tail;
    });
    if (!complete) {
      tail += kPage;
      continue;
    }
    if (candidate.empty() || sequence.back()->sequence > candidate.back()->sequence) candidate = sequence;
    const std::uint64_t end = sequence.back()->at + sequence.back()->length;
    if (end <= tail || end >= log_length) break;
    tail = end;
  }
  std::vector<std::uint64_t> places;
  bool begun = false;
  for (const LogEntry* entry : candidate) {
    begun |= entry->at == candidate.back()->tail;
    if (begun) places.push_back(entry->at);
  }
  return places;
}

TEST(LogParse, TheSearchAgreesWithTheSpecificationOnRandomRings) {
  std::mt19937 random(11);
  int found_some = 0;
  for (int round = 0; round < 400; ++round) {
    VhdxLogBuilder log(kMiB);
    std::uint64_t at = random() % 256 * kPage;
    std::vector<std::uint64_t> places;
    std::uint64_t number = 1 + random() % 20;
    for (unsigned i = 0; i < 10 + random() % 200; ++i) {
      if (random() % 4 == 0) number = 1 + random() % 20;
      if (random() % 8 == 0) at = (at + random() % 3 * kPage) % kMiB;
      places.push_back(at);
      LogEntrySpec spec = {.at = at, .sequence = number++};
      spec.tail = places[places.size() - 1 - random() % std::min<std::size_t>(places.size(), 5)];
      if (random() % 3 == 0) spec.writes = {LogWrite::pattern(kTarget, 1)};
      spec.bad_checksum = random() % 16 == 0;
      at = log.add(spec);
    }
    const auto found = scan_log(log);
    std::vector<std::uint64_t> active;
    for (const LogEntry& entry : found->scan.active) active.push_back(entry.at);
    EXPECT_EQ(active, search_by_the_letter(found->scan.entries, kMiB)) << round;
    found_some += active.size() > 1;
  }
  EXPECT_GT(found_some, 100);
}

TEST(LogParse, EntriesLieDisjointSoThatAnInnerHeaderSpoilsTheOuterEntry) {
  // A page whose data sector would begin with 'loge' cannot be: the log stores 'data' there and the page's
  // own first bytes in the descriptor. So an entry header inside an entry is damage of the outer one.
  VhdxLogBuilder log;
  log.add({.at = 0, .sequence = 9, .writes = std::vector<LogWrite>(8, LogWrite::pattern(kTarget, 1))});
  log.add({.at = 4 * kPage, .sequence = 3});
  const auto found = scan_log(log);
  EXPECT_EQ(sequences(found->scan.active), Numbers{3});
  EXPECT_EQ(found->scan.torn_entries, 1u);
}

}  // namespace
}  // namespace vdisk::vhdx
