// SPDX-License-Identifier: Apache-2.0
//
// A quick search by random mutation, the same at every run: sound images get a few bytes changed where
// parsers look, most with the checksums repaired behind it. Whatever comes of it must open or be refused,
// tell runs that lie inside disk and file, and cost a bounded number of reads and bytes. The fuzz targets
// search longer.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "crimes.h"
#include "format/registry.h"
#include "format/vhdx/layout.h"
#include "io/memory_file.h"
#include "testing/counting_file.h"
#include "testing/cow_file.h"
#include "testing/heap_counter.h"
#include "testing/iso_builder.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::hostile {
namespace {

using testing::CowFile;
using testing::LogWrite;
using testing::VhdBuilder;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;
using Random = std::mt19937_64;

constexpr std::uint64_t kMostReads = 20'000;
constexpr std::uint64_t kMostHeapBytes = 96 * kMiB;

struct Part {
  std::uint64_t at;
  std::uint64_t length;
};

/// A sound image, where to change it, and how to make its checksums right again.
struct Subject {
  std::string name;
  FormatId format;
  std::shared_ptr<File> file;
  std::vector<Part> parts;
  std::function<void(File&)> repair;
};

std::vector<std::byte> bytes_at(File& file, std::uint64_t at, std::size_t length) {
  std::vector<std::byte> bytes(length);
  VDISK_ASSERT(read_zero_padded(file, {at}, bytes).has_value());
  return bytes;
}
void write_at(File& file, std::uint64_t at, std::span<const std::byte> bytes) {
  VDISK_ASSERT(file.write({at}, bytes).has_value());
}

// --- VHD ---

template <class T>
void repair_sum(File& file, std::uint64_t at) {
  auto bytes = bytes_at(file, at, sizeof(T));
  T stored = load<T>(bytes);
  stored.checksum = 0U;
  std::uint32_t sum = 0;
  for (const std::byte byte : bytes_of(stored)) sum += std::to_integer<std::uint32_t>(byte);
  stored.checksum = ~sum;
  write_at(file, at, bytes_of(stored));
}

Subject vhd(const std::string& name, const VhdBuilder& builder, bool fixed) {
  Subject subject{name, FormatId::kVhd, builder.file(name + ".vhd"), {}, {}};
  const std::uint64_t end = builder.footer_at();
  subject.parts = {{end, 512}};
  if (!fixed) {
    subject.parts.insert(subject.parts.end(), {{0, 86}, {512, 1024}, {builder.table_offset(), 256}});
  }
  subject.repair = [=](File& file) {
    repair_sum<vhd::Footer>(file, end);
    if (fixed) return;
    repair_sum<vhd::Footer>(file, 0);
    repair_sum<vhd::DynamicHeader>(file, 512);
  };
  return subject;
}

// --- VHDX ---

void repair_crc(File& file, std::uint64_t at, std::size_t length, std::size_t field) {
  const Le<std::uint32_t> checksum = crc32c_with_zero_field(bytes_at(file, at, length), field);
  write_at(file, at + field, bytes_of(checksum));
}

void repair_log(File& file, std::uint64_t log_at, std::uint64_t log_bytes) {
  using namespace vhdx;
  const auto log = bytes_at(file, log_at, log_bytes);
  for (std::uint64_t at = 0; at < log_bytes; at += 4096) {
    const auto header = load<LogEntryHeaderLayout>(std::span(log).subspan(at));
    const std::uint64_t length = header.entry_length;
    if (header.signature != kLogEntrySignature || length < 4096 || length > log_bytes) continue;
    std::vector<std::byte> entry(length);
    for (std::uint64_t i = 0; i < length; ++i) entry[i] = log[(at + i) % log_bytes];
    const Le<std::uint32_t> checksum = crc32c_with_zero_field(entry, kLogEntryChecksumAt);
    write_at(file, log_at + at + kLogEntryChecksumAt, bytes_of(checksum));
  }
}

Subject vhdx_image(const std::string& name, bool child, bool dirty, std::uint32_t sector) {
  VhdxLogBuilder log;
  VhdxBuilder builder(64 * kMiB, 2 * kMiB);
  builder.sectors(sector, 4096);
  if (child) builder.differencing();
  if (dirty) builder.log_guid(log.guid());
  builder.present(0);
  builder.present(3);
  if (child) {
    builder.partial(5);
    builder.set_bits(5 * 2 * kMiB / sector + 3, 9);
  }
  builder.state(7, vhdx::PayloadState::kZero);
  const std::uint64_t log_at = builder.log_offset();
  const std::uint64_t metadata = builder.metadata_offset();
  const std::uint64_t bat = builder.bat_offset();
  std::unique_ptr<MemoryFile> file = builder.build();
  if (dirty) {
    const std::uint64_t second = log.add({.sequence = 1, .writes = {testing::take_page(*file, bat)}});
    log.add({.at = second,
             .sequence = 2,
             .tail = 0,
             .writes = {testing::take_page(*file, metadata), LogWrite::zeros(bat + 8192, 4096)}});
    testing::put_log(*file, log_at, log);
  }
  Subject subject{name, FormatId::kVhdx, std::move(file), {}, {}};
  subject.parts = {{vhdx::kHeaderAt[0], 80},
                   {vhdx::kHeaderAt[1], 80},
                   {vhdx::kRegionTableAt[0], 96},
                   {vhdx::kRegionTableAt[1], 96},
                   {metadata, 256},
                   {metadata + 65536, 512},
                   {bat, 320}};
  if (dirty) subject.parts.insert(subject.parts.end(), {{log_at, 128}, {log_at + 8192, 160}});
  subject.repair = [=](File& f) {
    for (const std::uint64_t at : vhdx::kHeaderAt) repair_crc(f, at, 4096, 4);
    for (const std::uint64_t at : vhdx::kRegionTableAt) repair_crc(f, at, 65536, 4);
    if (dirty) repair_log(f, log_at, kMiB);
  };
  return subject;
}

// --- ISO ---

Subject disc(const std::string& name, const testing::Disc& builder) {
  Subject subject{name, FormatId::kIso, builder.file(name + ".iso"), {}, {}};
  subject.parts = {
      {16 * 2048, 256}, {17 * 2048, 256}, {256 * 2048, 64}, {300 * 2048, 512}, {301 * 2048, 512}};
  subject.repair = [](File& file) {  // the tags of UDF
    for (const std::uint64_t at : {256 * 2048, 300 * 2048, 301 * 2048}) {
      auto tag = bytes_at(file, at, 16);
      tag[4] = std::byte{0};
      unsigned sum = 0;
      for (const std::byte byte : tag) sum += std::to_integer<unsigned>(byte);
      tag[4] = static_cast<std::byte>(sum);
      write_at(file, at, tag);
    }
  };
  return subject;
}

void mutate(const Subject& subject, File& file, Random& random) {
  const std::uint64_t changes = 1 + random() % 4;
  for (std::uint64_t i = 0; i < changes; ++i) {
    const Part& part = subject.parts[random() % subject.parts.size()];
    const std::uint64_t at = part.at + random() % part.length;
    std::vector<std::byte> bytes = bytes_at(file, at, std::min<std::uint64_t>(8, part.at + part.length - at));
    switch (random() % 4) {
      case 0:  // one bit
        bytes[0] ^= std::byte(1U << random() % 8);
        break;
      case 1:  // one byte
        bytes[0] = std::byte(random() & 0xFF);
        break;
      case 2:  // a number of extremes
        for (std::byte& byte : bytes)
          byte = std::byte{static_cast<std::uint8_t>(random() % 2 == 0 ? 0 : 0xFF)};
        break;
      default:  // a small number, little- or big-endian
        std::ranges::fill(bytes, std::byte{0});
        (random() % 2 == 0 ? bytes.front() : bytes.back()) = std::byte(random() % 32);
    }
    write_at(file, at, bytes);
  }
  if (random() % 4 != 0) subject.repair(file);
  if (random() % 16 == 0) {
    const std::uint64_t size = file.size().value();
    VDISK_ASSERT(file.resize(size - random() % std::min<std::uint64_t>(size, 4 * kMiB)).has_value());
  }
}

/// "" or what is wrong with what the image says of its blocks.
std::string walk(Image& image) {
  const std::uint64_t size = image.properties().geometry.virtual_size_bytes;
  const std::uint64_t file_bytes = image.file().size().value();
  std::uint64_t at = 0;
  for (int steps = 0; at < size && steps < 3000; ++steps) {
    RunList runs;
    const auto covered = image.resolve_read({DiskOffset{at}, size - at}, runs);
    if (!covered) return "";
    std::uint64_t expected = at;
    for (const Run& run : runs) {
      if (run.length == 0 || run.at.bytes != expected) return "runs do not follow one another";
      // The last block of a file that was cut reads as zeros behind the end, up to a mebibyte (case 66).
      if (run.source == Run::Source::kFile && !fits_within(run.from.bytes, run.length, file_bytes)) {
        return "a run leaves the file";
      }
      expected = run.end();
    }
    if (*covered == 0 || expected != at + *covered || expected > size)
      return "runs do not cover what is said";
    at = expected;
  }
  return "";
}

/// "" or what is wrong; counts the mutants that open.
std::string judge(const Subject& subject, const std::shared_ptr<File>& mutant, std::uint64_t& opens) {
  const Format& format = format_by_id(subject.format);
  testing::IoCounts counts;
  const testing::HeapCounter heap;
  const auto view = [&] {
    return std::make_unique<testing::CountingFile>(std::make_unique<CowFile>(mutant), counts);
  };
  std::string wrong;
  auto image = format.open(view(), {});
  const bool opened = image.has_value();
  opens += opened ? 1 : 0;
  if (opened) wrong = walk(**image);
  auto file = view();
  ImageInfo info;
  const Status inspected = format.inspect(*file, {}, info);
  if (opened && !inspected) wrong += " opens, but inspect says " + inspected.error().message();
  CheckReport report;
  CheckSink sink(report, subject.name);
  const Status checked = format.check(*file, {}, sink, {});
  if (!checked) wrong += " check fails: " + checked.error().message();
  if (!opened && checked && !report.damaged())
    wrong += " refused, but check finds no damage: " + image.error().message();
  static_cast<void>(format.probe(*file));
  if (counts.reads > kMostReads) wrong += fmt::format(" {} reads", counts.reads.load());
  if (counts.writes + counts.resizes + counts.flushes != 0) wrong += " it wrote";
  if (heap.peak_bytes() > kMostHeapBytes) wrong += fmt::format(" {} bytes of heap", heap.peak_bytes());
  return wrong;
}

TEST(Mutation, NothingCrashesHangsOrSwells) {
  constexpr std::uint32_t kBlock = 4096;
  const Subject subjects[] = {
      vhd("fixed", VhdBuilder::fixed(kMiB), true),
      vhd("dynamic", VhdBuilder::dynamic(64 * kBlock, kBlock).fill(8, 90, 1), false),
      vhd("child",
          VhdBuilder::differencing(64 * kBlock, kBlock)
              .parent(testing::vhd_id(2), ".\\a.vhd", "C:\\a.vhd")
              .fill(9, 50, 1),
          false),
      vhdx_image("dynamic", false, false, 512),
      vhdx_image("child", true, false, 512),
      vhdx_image("dirty", false, true, 512),
      vhdx_image("dirty-child-of-4096", true, true, 4096),
      disc("plain", testing::plain_disc(320)),
      disc("udf", testing::udf_disc(2048)),
  };
  // More on request: VDISK_MUTATION_ROUNDS=100000.
  const char* wish = std::getenv("VDISK_MUTATION_ROUNDS");
  const std::uint64_t rounds = wish != nullptr ? std::strtoull(wish, nullptr, 10) : 600;
  for (const Subject& subject : subjects) {
    std::uint64_t opens = 0;
    ASSERT_EQ(judge(subject, subject.file, opens), "") << subject.name;
    ASSERT_EQ(opens, 1U) << subject.name << " is sound";
    for (std::uint64_t seed = 1; seed <= rounds; ++seed) {
      Random random(seed);
      const auto mutant = std::make_shared<CowFile>(subject.file);
      mutate(subject, *mutant, random);
      ASSERT_EQ(judge(subject, mutant, opens), "") << subject.name << ", seed " << seed;
    }
    // A search that finds only sound images, or only refused ones, looks in the wrong places.
    EXPECT_GT(opens, rounds / 20) << subject.name;
    EXPECT_LT(opens, rounds - rounds / 20) << subject.name;
  }
}

}  // namespace
}  // namespace vdisk::hostile
