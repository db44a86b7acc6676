// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an ISO image. To let the fuzzer reach descriptors without writing 32 KiB of system area, the
// first two bytes choose the file's length, and the rest is pieces: place (sector of 2048, or block of 512),
// length, bytes. Oracle, besides the sanitizers: a bounded number of reads, bytes and findings.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/checked.h"
#include "base/fault.h"
#include "format/iso/iso.h"
#include "format/run.h"
#include "io/memory_file.h"

namespace {

using namespace vdisk;  // NOLINT: one short program

// What a scan may cost (src/format/iso/scan.cc): five strides and both sequences of 64 descriptors, the
// anchors.
constexpr std::uint64_t kMostReads = 600;
constexpr std::uint64_t kMostBytesRead = 2 * kMiB;

// Counts through the seam; the library's own counting file belongs to the tests.
class Counted final : public File {
 public:
  explicit Counted(File& below) : below_(below) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    VDISK_ASSERT(++reads_ <= kMostReads);
    VDISK_ASSERT((bytes_ += into.size()) <= kMostBytesRead);
    return below_.read(at, into);
  }
  Status write(FileOffset, std::span<const std::byte>) override { return never(); }
  Status flush() override { return never(); }
  Result<std::uint64_t> size() override { return below_.size(); }
  Status resize(std::uint64_t) override { return never(); }
  Status zero(FileOffset, std::uint64_t) override { return never(); }
  Status punch(FileOffset, std::uint64_t) override { return never(); }
  Result<FileOffset> next_data(FileOffset from) override { return below_.next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_.next_hole(from); }
  bool writable() const noexcept override { return false; }
  Result<FileIdentity> identity() override { return below_.identity(); }
  const std::string& name() const noexcept override { return below_.name(); }

 private:
  // A disc is never changed.
  static Status never() {
    VDISK_ASSERT(!"an ISO image was written");
    return {};
  }
  File& below_;
  std::uint64_t reads_ = 0;
  std::uint64_t bytes_ = 0;
};

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::uint32_t take16() { return take8() | take8() << 8; }
  std::uint32_t take8() {
    if (bytes_.empty()) return 0;
    const std::uint32_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::span<const std::byte> take(std::size_t length) {
    length = std::min(length, bytes_.size());
    const auto piece = std::as_bytes(bytes_.first(length));
    bytes_ = bytes_.subspan(length);
    return piece;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

void build(Input input, MemoryFile& file) {
  const std::uint32_t size = input.take16();
  while (!input.empty()) {
    const std::uint32_t place = input.take16();
    const std::uint64_t unit = (place & 0x8000U) != 0 ? 512 : 2048;
    const std::uint64_t at = (place & 0x7FFFU) * unit + input.take8() % unit;
    const std::size_t length = input.take8() + 1;
    VDISK_ASSERT(file.write(FileOffset{at}, input.take(length)).has_value());
  }
  // Mostly whole sectors; the top bit leaves a crooked end.
  const std::uint64_t size_bytes = (size & 0x7FFFU) * std::uint64_t{2048} + ((size & 0x8000U) != 0 ? 1 : 0);
  VDISK_ASSERT(file.resize(size_bytes).has_value());
}

void open_and_read(MemoryFile& memory) {
  auto image = iso::kFormat.open(std::make_unique<Counted>(memory), ImageOpen{});
  if (!image) return;
  const std::uint64_t size = (*image)->properties().geometry.virtual_size_bytes;
  RunList runs;
  const auto covered = (*image)->resolve_read({DiskOffset{0}, size}, runs);
  VDISK_ASSERT(covered && *covered == size);
  VDISK_ASSERT(runs.size() == 1 && fits_within(runs[0].from.bytes, runs[0].length, size));
  std::byte last{};
  VDISK_ASSERT(read_exactly((*image)->file(), FileOffset{size - 1}, std::span(&last, 1)).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryFile memory("fuzz.iso");
  build(Input({data, size}), memory);
  Counted probed(memory);
  const auto probe = iso::kFormat.probe(probed);
  VDISK_ASSERT(probe.has_value());
  Counted inspected(memory);
  ImageInfo info;
  const bool good = iso::kFormat.inspect(inspected, ImageOpen{}, info).has_value();
  VDISK_ASSERT(!good || *probe == Probe::kYes);
  open_and_read(memory);
  Counted checked(memory);
  CheckReport report;
  CheckSink sink(report, "fuzz.iso");
  VDISK_ASSERT(iso::kFormat.check(checked, ImageOpen{}, sink, OperationControl{}).has_value());
  VDISK_ASSERT(report.findings_total < 32);
  return 0;
}
