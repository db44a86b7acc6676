// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a VHD. The mutator starts from images of every shape, changes a part that it knows, and
// repairs the checksums, so that the fuzzer is not stopped by them. Oracle, besides the sanitizers: bounded
// reads, bounded heap, runs that cover exactly what they say, inside the disk and inside the file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "format/vhd/layout.h"
#include "format/vhd/vhd.h"
#include "io/memory_file.h"
#include "testing/counting_file.h"
#include "testing/vhd_builder.h"

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#include <sanitizer/allocator_interface.h>
#define VDISK_HEAP_BYTES() __sanitizer_get_current_allocated_bytes()
#else
#define VDISK_HEAP_BYTES() std::size_t{0}
#endif

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using namespace vdisk;  // NOLINT: one short program
using testing::VhdBuilder;
using vhd::DynamicHeader;
using vhd::Footer;

constexpr std::size_t kMostInputBytes = 256 * kKiB;

/// Opening looks at four footers, sixteen steps of the search, a header, eight locators, a batmap and a
/// table.
constexpr std::uint64_t kMostOpenReads = 48;
/// The table as read, as sorted, and the notes and texts of eight locators; beside it, what is cached per
/// block.
constexpr std::size_t kMostOpenHeapBytes = 4 * kMiB;

std::unique_ptr<File> counted(std::span<const std::byte> bytes, testing::IoCounts& counts) {
  return std::make_unique<testing::CountingFile>(std::make_unique<MemoryFile>(bytes, "fuzz.vhd", false),
                                                 counts);
}

void check_runs(const RunList& runs, std::uint64_t at, std::uint64_t covered, std::uint64_t file_bytes) {
  std::uint64_t expected = at;
  for (const Run& run : runs) {
    VDISK_ASSERT(run.length != 0 && run.at.bytes == expected);
    VDISK_ASSERT(run.source != Run::Source::kFile || fits_within(run.from.bytes, run.length, file_bytes));
    expected = run.end();
  }
  VDISK_ASSERT(covered != 0 && expected == at + covered);
}

void read_around(Image& image, std::uint64_t file_bytes, std::mt19937_64& random) {
  const std::uint64_t disk_bytes = image.properties().geometry.virtual_size_bytes;
  VDISK_ASSERT(disk_bytes != 0);
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t at = i == 0 ? 0 : i == 1 ? disk_bytes - 1 : random() % disk_bytes;
    const std::uint64_t length = std::min<std::uint64_t>(disk_bytes - at, 1 + random() % (8 * kMiB));
    RunList runs;
    const auto covered = image.resolve_read({DiskOffset{at}, length}, runs);
    if (!covered) continue;
    VDISK_ASSERT(*covered <= length);
    check_runs(runs, at, *covered, file_bytes);
  }
  static_cast<void>(image.allocated_bytes());
}

template <class Struct>
void repair(std::span<std::byte> bytes, std::uint64_t at) {
  if (!fits_within(at, sizeof(Struct), bytes.size())) return;
  auto value = load<Struct>(bytes.subspan(at));
  value.checksum = vhd::checksum_of(value);
  store(bytes.subspan(at), value);
}

void repair_checksums(std::span<std::byte> bytes) {
  if (bytes.size() < sizeof(Footer)) return;
  const std::uint64_t end = bytes.size() - sizeof(Footer);
  for (const std::uint64_t at : {std::uint64_t{0}, end}) {
    const auto footer = load<Footer>(bytes.subspan(at));
    if (footer.cookie != vhd::kFooterCookie) continue;
    repair<DynamicHeader>(bytes, footer.data_offset);
    repair<Footer>(bytes, at);
  }
}

std::vector<std::byte> fresh_image(std::mt19937_64& random) {
  const std::uint32_t block = 512u << random() % 6;
  const std::uint64_t size = 512 * (1 + random() % 64);
  auto builder = random() % 4 == 0   ? VhdBuilder::fixed(size)
                 : random() % 2 == 0 ? VhdBuilder::dynamic(size, block)
                                     : VhdBuilder::differencing(size, block);
  builder.parent(testing::vhd_id(3), ".\\a.vhd", "C:\\b\\a.vhd", "a.vhd");
  for (int i = 0; i < 6; ++i) builder.fill(random() % (size / 512), 1, 7);
  switch (random() % 8) {
    case 0:
      builder.xen_batmap();
      break;
    case 1:
      builder.short_footer();
      break;
    case 2:
      builder.omit_end_footer();
      break;
    case 3:
      builder.append(std::vector<std::byte>(random() % 3000));
      break;
    case 4:
      builder.locators_first().windows_alignment();
      break;
    default:
      break;
  }
  return builder.bytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMostInputBytes) return -1;
  const auto bytes = std::as_bytes(std::span(data, size));
  std::mt19937_64 random(size);
  {
    testing::IoCounts counts;
    const auto file = counted(bytes, counts);
    ImageInfo info;
    static_cast<void>(vhd::kFormat.probe(*file));
    static_cast<void>(vhd::kFormat.inspect(*file, ImageOpen{}, info));
    CheckReport report;
    CheckSink sink(report, "fuzz.vhd");
    VDISK_ASSERT(vhd::kFormat.check(*file, ImageOpen{}, sink, OperationControl{}).has_value());
    VDISK_ASSERT(counts.reads <= 4 * kMostOpenReads && report.leaked_bytes <= size);
  }
  testing::IoCounts counts;
  auto file = counted(bytes, counts);
  const std::size_t heap_before = VDISK_HEAP_BYTES();
  const auto image = vhd::kFormat.open(std::move(file), ImageOpen{});
  VDISK_ASSERT(counts.reads <= kMostOpenReads && counts.bytes_read <= 4 * kMiB);
  VDISK_ASSERT(VDISK_HEAP_BYTES() <= heap_before + kMostOpenHeapBytes);
  if (!image) return 0;
  read_around(**image, size, random);
  // One bitmap for each block, and no two blocks share bytes.
  VDISK_ASSERT(counts.reads <= kMostOpenReads + size / 1024);
  VDISK_ASSERT(VDISK_HEAP_BYTES() <= heap_before + kMostOpenHeapBytes);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  std::mt19937_64 random(seed);
  if (size < 1024 || random() % 64 == 0) {
    const auto fresh = fresh_image(random);
    if (fresh.size() <= max_size) {
      std::ranges::copy(fresh, std::as_writable_bytes(std::span(data, max_size)).begin());
      size = fresh.size();
    }
  }
  // A part with a meaning keeps its place and length; now and then anything may change.
  struct Part {
    std::size_t at;
    std::size_t length;
  };
  const std::size_t end = size >= 512 ? size - 512 : 0;
  const Part parts[] = {{0, 96}, {end, 96}, {512, 64}, {512 + 576, 192}, {1536, 64}, {1536, 512}};
  if (random() % 4 == 0) {
    size = LLVMFuzzerMutate(data, size, max_size);
  } else {
    const Part part = parts[random() % std::size(parts)];
    if (part.at < size)
      LLVMFuzzerMutate(data + part.at, std::min(part.length, size - part.at),
                       std::min(part.length, size - part.at));
  }
  if (random() % 8 != 0) repair_checksums(std::as_writable_bytes(std::span(data, size)));
  return size;
}
