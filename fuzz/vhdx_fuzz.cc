// SPDX-License-Identifier: Apache-2.0
//
// Hostile VHDX files. The input is laid over the parts of a sound image that a parser looks at, byte by byte
// as XOR, so that the empty input is a sound image and every mutation stays near one. Its first byte chooses
// the image and whether checksums are repaired behind the mutation. Oracle: no crash, bounded I/O, bounded
// memory.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/checked.h"
#include "base/crc32c.h"
#include "format/vhdx/vhdx.h"
#include "testing/counting_file.h"
#include "testing/heap_counter.h"
#include "testing/vhdx_builder.h"

namespace {

using namespace vdisk;        // NOLINT: a program of its own
using namespace vdisk::vhdx;  // NOLINT
using vdisk::testing::CountingFile;
using vdisk::testing::HeapCounter;
using vdisk::testing::IoCounts;
using vdisk::testing::VhdxBuilder;

constexpr std::uint64_t kMostReads = 200'000;
constexpr std::uint64_t kMostHeapBytes = 256 * kMiB;

void demand(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::byte> read_part(File& file, std::uint64_t at, std::size_t length) {
  std::vector<std::byte> bytes(length);
  demand(read_zero_padded(file, FileOffset{at}, bytes).has_value());
  return bytes;
}

void repair_checksum(File& file, std::uint64_t at, std::size_t length, std::size_t field) {
  auto bytes = read_part(file, at, length);
  const Le<std::uint32_t> checksum = crc32c_with_zero_field(bytes, field);
  demand(file.write(FileOffset{at + field}, bytes_of(checksum)).has_value());
}

/// Every sector of the log that looks like an entry's first gets the checksum of its claimed length.
void repair_log(File& file, std::uint64_t log_at, std::uint64_t log_length) {
  const auto log = read_part(file, log_at, log_length);
  for (std::uint64_t at = 0; at < log_length; at += kLogSectorBytes) {
    const auto header = load<LogEntryHeaderLayout>(std::span(log).subspan(at));
    const std::uint64_t length = header.entry_length;
    if (header.signature != kLogEntrySignature || length < kLogSectorBytes || length > log_length) continue;
    std::vector<std::byte> entry;
    for (std::uint64_t i = 0; i < length; ++i) entry.push_back(log[(at + i) % log_length]);
    const Le<std::uint32_t> checksum = crc32c_with_zero_field(entry, kLogEntryChecksumAt);
    demand(file.write(FileOffset{log_at + at + kLogEntryChecksumAt}, bytes_of(checksum)).has_value());
  }
}

/// An empty entry, which is all that a header's LogGuid promises (formats.md 2.7).
void put_log_entry(File& file, std::uint64_t log_at, const Guid& guid) {
  std::vector<std::byte> entry(kLogSectorBytes);
  store(std::span(entry), LogEntryHeaderLayout{.signature = kLogEntrySignature,
                                               .checksum = 0u,
                                               .entry_length = std::uint32_t{kLogSectorBytes},
                                               .tail = 0u,
                                               .sequence_number = std::uint64_t{1},
                                               .descriptor_count = 0u,
                                               .reserved = 0u,
                                               .log_guid = guid,
                                               .flushed_file_offset = std::uint64_t{0},
                                               .last_file_offset = std::uint64_t{0}});
  demand(file.write(FileOffset{log_at}, entry).has_value());
}

struct Subject {
  std::unique_ptr<MemoryFile> file;
  std::uint64_t log_at, metadata_at, bat_at, bitmap_at;
};

Subject make_subject(std::uint8_t choice) {
  const bool large = (choice & 4) != 0;
  const bool dirty = (choice & 8) != 0;
  VhdxBuilder b(large ? 64 * kTiB : 100 * kMiB, large ? kMiB : 2 * kMiB);
  if ((choice & 3) == 1) b.fixed();
  if ((choice & 3) >= 2) b.differencing();
  if ((choice & 3) == 3) b.sectors(4096, 4096);
  if (dirty) b.log_guid(VhdxBuilder::kParentGuid);
  Subject s{nullptr, b.log_offset(), b.metadata_offset(), b.bat_offset(), b.end_offset()};
  if ((choice & 3) >= 2) b.partial(0);
  b.present(3);
  b.state(4, PayloadState::kUnmapped);
  s.file = b.build();
  if (dirty) put_log_entry(*s.file, s.log_at, VhdxBuilder::kParentGuid);
  return s;
}

void mutate(Subject& s, std::span<const std::uint8_t> input) {
  const std::pair<std::uint64_t, std::size_t> parts[] = {
      {kHeaderAt[0], 80},      {kHeaderAt[1], 80},   {kRegionTableAt[0], 16 + 6 * 32},
      {kRegionTableAt[1], 48}, {s.metadata_at, 320}, {s.metadata_at + kMetadataTableBytes, 1024},
      {s.bat_at, 256},         {s.bitmap_at, 128},   {s.log_at, 3 * kLogSectorBytes},
  };
  for (const auto& [at, length] : parts) {
    const std::size_t piece = std::min(length, input.size());
    auto bytes = read_part(*s.file, at, piece);
    for (std::size_t i = 0; i < piece; ++i) bytes[i] ^= std::byte{input[i]};
    demand(s.file->write(FileOffset{at}, bytes).has_value());
    input = input.subspan(piece);
  }
}

void read_whole_disk(Image& image) {
  const std::uint64_t size = image.properties().geometry.virtual_size_bytes;
  RunList runs;
  std::uint64_t at = 0;
  for (int step = 0; at < size && step < 2000; ++step) {
    const auto covered = image.resolve_read({DiskOffset{at}, size - at}, runs);
    if (!covered) return;
    demand(*covered > 0 && *covered <= size - at);
    std::uint64_t expected = at;
    for (const Run& run : runs) {
      demand(run.at.bytes == expected && run.length > 0);
      expected = run.end();
    }
    demand(expected == at + *covered);
    at = expected;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> input(data, size);
  const std::uint8_t choice = input.empty() ? 0 : input[0];
  Subject s = make_subject(choice);
  if (!input.empty()) mutate(s, input.subspan(1));
  if ((choice & 0x80) == 0) {
    for (const std::uint64_t at : kHeaderAt) repair_checksum(*s.file, at, kHeaderBytes, kHeaderChecksumAt);
    for (const std::uint64_t at : kRegionTableAt) {
      repair_checksum(*s.file, at, kRegionTableBytes, kRegionTableChecksumAt);
    }
    repair_log(*s.file, s.log_at, kMiB);
  }

  IoCounts counts;
  const HeapCounter heap;
  CountingFile file(std::move(s.file), counts);
  ImageInfo info;
  (void)kFormat.inspect(file, {}, info).has_value();
  CheckReport report;
  CheckSink sink(report, "fuzz");
  demand(kFormat.check(file, {}, sink, {}).has_value());
  auto copy = std::make_unique<MemoryFile>();
  const std::uint64_t end = *file.size();
  for (std::uint64_t at = file.next_data(FileOffset{0})->bytes; at < end;) {
    const auto bytes = read_part(file, at, std::min<std::uint64_t>(MemoryFile::kPageBytes, end - at));
    demand(copy->write(FileOffset{at}, bytes).has_value());
    at = file.next_data(FileOffset{at + bytes.size()})->bytes;
  }
  demand(copy->resize(end).has_value());
  if (auto image = kFormat.open(std::make_unique<CountingFile>(std::move(copy), counts), {})) {
    read_whole_disk(**image);
    (void)(*image)->allocated_bytes().has_value();
  }
  demand(counts.writes == 0 && counts.reads < kMostReads);
  demand(heap.peak_bytes() < kMostHeapBytes);
  return 0;
}
