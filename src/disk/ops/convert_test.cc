// SPDX-License-Identifier: Apache-2.0
//
// convert on real files: every format and type to every other, chains, sizes and sectors, what differs from a
// parent, streams, failures, and what Azure wants.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/checked.h"
#include "disk/ops/convert_into.h"
#include "format/bulk_writer.h"
#include "format/create_spec.h"
#include "format/registry.h"
#include "io/memory_file.h"
#include "testing/fault_file.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;

using Bytes = std::vector<std::byte>;

/// Data here and there, zeros between, some of them stored; the same for the same seed.
Bytes pattern(std::uint64_t size, unsigned seed) {
  Bytes bytes(size);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t at = random() % (size / 512) * 512;
    const std::uint64_t most = std::min<std::uint64_t>(size - at, i % 4 == 0 ? 300 * kKiB : 4 * kKiB);
    const std::uint64_t length = (random() % (most / 512) + 1) * 512;
    for (std::uint64_t k = 0; k < length; k += 8) {
      const std::uint64_t value = random();
      std::memcpy(bytes.data() + at + k, &value, 8);
    }
  }
  return bytes;
}

struct Kind {
  const char* name;
  FormatId format;
  DiskType type;
  std::uint32_t block_bytes;
  std::uint32_t sector_bytes;
};

constexpr Kind kKinds[] = {
    {"raw", FormatId::kRaw, DiskType::kFixed, 0, 512},
    {"fixed_vhd", FormatId::kVhd, DiskType::kFixed, 0, 512},
    {"dynamic_vhd", FormatId::kVhd, DiskType::kDynamic, 0, 512},
    {"small_vhd", FormatId::kVhd, DiskType::kDynamic, 512 * kKiB, 512},
    {"fixed_vhdx", FormatId::kVhdx, DiskType::kFixed, 0, 512},
    {"dynamic_vhdx", FormatId::kVhdx, DiskType::kDynamic, 0, 512},
    {"small_vhdx", FormatId::kVhdx, DiskType::kDynamic, kMiB, 512},
    {"big_sectors_vhdx", FormatId::kVhdx, DiskType::kDynamic, 2 * kMiB, 4096},
};

ConvertOptions to(const Kind& kind) {
  ConvertOptions options;
  options.target.format = kind.format;
  options.target.type = kind.type;
  options.target.block_bytes = kind.block_bytes;
  options.target.logical_sector_bytes = kind.sector_bytes;
  return options;
}

class ConvertTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  static Disk must_open(const std::string& path, std::optional<FormatId> format = std::nullopt) {
    OpenOptions options;
    options.format = format;
    auto disk = Disk::open(path, options);
    if (!disk) {
      ADD_FAILURE() << disk.error().message();
      std::abort();
    }
    return *std::move(disk);
  }
  Disk raw(const std::string& name, const Bytes& bytes) const {
    return must_open(folder_.save(name, bytes), FormatId::kRaw);
  }
  static Bytes content(const Disk& disk) {
    Bytes bytes(disk.geometry().virtual_size_bytes);
    EXPECT_TRUE(disk.read({0}, bytes));
    return bytes;
  }
  static void expect_clean(const std::string& image, std::optional<FormatId> format = std::nullopt) {
    OpenOptions options;
    options.format = format;
    const auto report = check(image, options, true, {});
    ASSERT_TRUE(report) << report.error().message();
    for (const Finding& finding : report->findings) ADD_FAILURE() << image << ": " << finding.message;
  }
  static std::uint64_t allocated(const std::string& image) {
    struct stat facts{};
    EXPECT_EQ(::stat(image.c_str(), &facts), 0);
    return static_cast<std::uint64_t>(facts.st_blocks) * 512;
  }
  /// The fault's id; nothing may be left.
  std::string refusal(const Disk& source, const std::string& name, const ConvertOptions& options,
                      Win32Code code) const {
    const std::size_t before = folder_.count();
    const Status status = convert(source, path(name), options);
    EXPECT_EQ(folder_.count(), before);
    if (status) return "success";
    EXPECT_EQ(status.error().code(), code) << status.error().message();
    return std::string(status.error().id());
  }

  testing::TempFolder folder_;
};

TEST_F(ConvertTest, EveryKindBecomesEveryOther) {
  const Bytes bytes = pattern(12 * kMiB, 1);
  const Disk source = raw("source.raw", bytes);
  for (const Kind& from : kKinds) {
    const std::string middle = path(from.name);
    ASSERT_TRUE(convert(source, middle, to(from))) << from.name;
    expect_clean(middle, from.format);
    const Disk disk = must_open(middle, from.format);
    EXPECT_EQ(disk.type(), from.type);
    EXPECT_EQ(disk.geometry().logical_sector_bytes, from.sector_bytes);
    if (from.block_bytes != 0) {
      EXPECT_EQ(disk.geometry().block_bytes, from.block_bytes);
    }
    EXPECT_EQ(content(disk), bytes) << from.name;
    for (const Kind& kind : kKinds) {
      const std::string image = path("target");
      const Status status = convert(disk, image, to(kind));
      ASSERT_TRUE(status) << from.name << " to " << kind.name << ": " << status.error().message();
      EXPECT_EQ(content(must_open(image, kind.format)), bytes) << from.name << " to " << kind.name;
      fs::remove(image);
    }
  }
}

TEST_F(ConvertTest, OddSizesStayExact) {
  for (const std::uint64_t size : {3 * kMiB, 3 * kMiB + 512, 5 * kMiB - 512, 32 * kMiB + 7 * 512}) {
    const Bytes bytes = pattern(size, static_cast<unsigned>(size));
    const Disk source = raw("source.raw", bytes);
    std::string last = "source.raw";
    std::optional<FormatId> format = FormatId::kRaw;
    for (const char* name : {"a.vhd", "b.vhdx", "c.vhd", "d.vhdx"}) {
      ASSERT_TRUE(convert(must_open(path(last), format), path(name), {}));
      expect_clean(path(name));
      EXPECT_EQ(content(must_open(path(name))), bytes) << name << " of " << size;
      last = name;
      format.reset();
    }
    for (const char* name : {"a.vhd", "b.vhdx", "c.vhd", "d.vhdx"}) fs::remove(path(name));
  }
}

TEST_F(ConvertTest, WhatNobodyChoosesIsTheSourcesOfTheSameFormat) {
  ConvertOptions options;
  options.target.block_bytes = 4 * kMiB;
  options.target.logical_sector_bytes = 4096;
  ASSERT_TRUE(convert(raw("source.raw", pattern(8 * kMiB, 1)), path("a.vhdx"), options));
  ASSERT_TRUE(convert(must_open(path("a.vhdx")), path("b.vhdx"), {}));
  const DiskGeometry geometry = must_open(path("b.vhdx")).geometry();
  EXPECT_EQ(geometry.block_bytes, 4 * kMiB);
  EXPECT_EQ(geometry.logical_sector_bytes, 4096U);
  std::string remark;
  OperationControl control;
  control.trace = [&](TraceLevel, std::string_view text) { remark = text; };
  ASSERT_TRUE(convert(must_open(path("a.vhdx")), path("c.vhd"), {}, control));
  EXPECT_NE(remark.find("sectors"), std::string::npos) << "4096 became 512";
}

TEST_F(ConvertTest, ZerosAreNotStored) {
  Bytes bytes(64 * kMiB);
  std::fill_n(bytes.begin() + 20 * kMiB, 64 * kKiB, std::byte{7});
  const Disk source = raw("source.raw", bytes);
  for (const Kind& kind : kKinds) {
    const std::string image = path(kind.name);
    ASSERT_TRUE(convert(source, image, to(kind)));
    EXPECT_LT(allocated(image), 512 * kKiB) << kind.name;
    fs::remove(image);
  }
  // Stored zeros, which only looking at them finds.
  std::ofstream full(path("full.raw"), std::ios::binary);
  for (int i = 0; i < 8; ++i) full << std::string(kMiB, '\0');
  full.close();
  ConvertOptions options;
  options.zeros = ZeroSearch::kAlways;
  ASSERT_TRUE(convert(must_open(path("full.raw"), FormatId::kRaw), path("found.vhdx"), options));
  EXPECT_EQ(must_open(path("found.vhdx")).info()->allocated_bytes, 0U);
  options.zeros = ZeroSearch::kNever;
  ASSERT_TRUE(convert(must_open(path("full.raw"), FormatId::kRaw), path("kept.vhdx"), options));
  EXPECT_GE(allocated(path("kept.vhdx")), 8 * kMiB);
}

TEST_F(ConvertTest, AnEmptyTebibyteCostsNothing) {
  CreateOptions empty;
  empty.virtual_size_bytes = kTiB;
  ASSERT_TRUE(create(path("a.vhdx"), empty));
  ASSERT_TRUE(convert(must_open(path("a.vhdx")), path("b.vhdx"), {}));
  EXPECT_LT(allocated(path("b.vhdx")), kMiB);
  expect_clean(path("b.vhdx"));
}

TEST_F(ConvertTest, TheFileIsTheSameHoweverManyThreads) {
  const Disk source = raw("source.raw", pattern(48 * kMiB, 3));
  ConvertOptions options;
  options.target.block_bytes = kMiB;
  options.target.identifier = Guid::parse("00112233-4455-6677-8899-aabbccddeeff");
  ASSERT_EQ(::setenv("SOURCE_DATE_EPOCH", "1700000000", 1), 0);
  options.jobs = 1;
  ASSERT_TRUE(convert(source, path("one.vhdx"), options));
  options.jobs = 7;
  ASSERT_TRUE(convert(source, path("many.vhdx"), options));
  ::unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_EQ(testing::state_of(path("one.vhdx")).bytes, testing::state_of(path("many.vhdx")).bytes);
}

TEST_F(ConvertTest, AChildHoldsOnlyWhatDiffers) {
  for (const Kind& kind : kKinds) {
    if (kind.type != DiskType::kDynamic) continue;
    SCOPED_TRACE(kind.name);
    Bytes bytes = pattern(12 * kMiB, 4);
    const std::string base = path("base");
    ASSERT_TRUE(convert(raw("source.raw", bytes), base, to(kind)));
    // A change within a sector, a zeroed block, zeros over data, data over zeros.
    const std::uint64_t sector = kind.sector_bytes;
    bytes[5 * kMiB + 100] ^= std::byte{1};
    std::fill_n(bytes.begin() + 6 * kMiB, 2 * kMiB, std::byte{0});
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(9 * kMiB), 2 * sector, std::byte{0});
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(10 * kMiB + 4096), sector, std::byte{9});
    const Disk changed = raw("changed.raw", bytes);
    ConvertOptions options;
    options.target.format = kind.format;
    options.target.parent = base;
    options.target.parent_format = kind.format;
    ASSERT_TRUE(convert(changed, path("child"), options));
    expect_clean(path("child"), kind.format);
    const Disk child = must_open(path("child"), kind.format);
    EXPECT_EQ(child.type(), DiskType::kDifferencing);
    EXPECT_EQ(content(child), bytes);
    EXPECT_LT(allocated(path("child")), 512 * kKiB);

    // The child's own content against its parent again: the same, read from one file alone.
    ASSERT_TRUE(convert(child, path("again"), options));
    EXPECT_EQ(content(must_open(path("again"), kind.format)), bytes);
    // A grandchild that differs in nothing, and the whole chain as one disk.
    options.target.parent = path("child");
    ASSERT_TRUE(convert(changed, path("grandchild"), options));
    const Disk grandchild = must_open(path("grandchild"), kind.format);
    EXPECT_EQ(grandchild.info()->allocated_bytes, 0U);
    EXPECT_EQ(content(grandchild), bytes);
    ASSERT_TRUE(convert(grandchild, path("flat"), to(kind)));
    fs::remove(base);
    EXPECT_EQ(content(must_open(path("flat"), kind.format)), bytes);
    for (const char* name : {"child", "again", "grandchild", "flat"}) fs::remove(path(name));
  }
}

TEST_F(ConvertTest, AWholeBlockOfZerosOverAParentTakesNoSpace) {
  Bytes bytes = pattern(8 * kMiB, 6);
  ConvertOptions options;
  options.target.block_bytes = kMiB;
  ASSERT_TRUE(convert(raw("a.raw", bytes), path("base.vhdx"), options));
  std::ranges::fill(bytes, std::byte{0});
  options.target.parent = path("base.vhdx");
  ASSERT_TRUE(convert(raw("b.raw", bytes), path("child.vhdx"), options));
  EXPECT_EQ(content(must_open(path("child.vhdx"))), bytes);
  expect_clean(path("child.vhdx"));
  EXPECT_EQ(allocated(path("child.vhdx")) / kMiB, 0U);
}

TEST_F(ConvertTest, AChildMayBeLargerThanItsParentWhereTheFormatCan) {
  const Bytes bytes = pattern(8 * kMiB, 7);
  const Disk large = raw("large.raw", bytes);
  const Disk small = raw("small.raw", pattern(6 * kMiB, 7));
  ASSERT_TRUE(convert(small, path("base.vhdx"), {}));
  ASSERT_TRUE(convert(small, path("base.vhd"), {}));
  ConvertOptions options;
  options.target.parent = path("base.vhdx");
  ASSERT_TRUE(convert(large, path("child.vhdx"), options));
  EXPECT_EQ(content(must_open(path("child.vhdx"))), bytes);
  options.target.parent = path("base.vhd");
  EXPECT_EQ(refusal(large, "child.vhd", options, 87), "convert.size.unlike_parent");
}

TEST_F(ConvertTest, SizesThatTheTargetCannotHave) {
  const Disk tiny = raw("tiny.raw", Bytes(kMiB));
  EXPECT_EQ(refusal(tiny, "a.vhd", {}, 87), "create.size.too_small");
  const Disk odd = raw("odd.raw", Bytes(4 * kMiB + 512));
  ConvertOptions options;
  options.target.logical_sector_bytes = 4096;
  EXPECT_EQ(refusal(odd, "a.vhdx", options, 87), "create.size.unaligned");
  options = {};
  options.target.virtual_size_bytes = 4 * kMiB;
  EXPECT_EQ(refusal(odd, "a.vhdx", options, 87), "convert.size.below_source");
  options.target.virtual_size_bytes = 6 * kMiB;
  ASSERT_TRUE(convert(odd, path("grown.vhdx"), options));
  EXPECT_EQ(content(must_open(path("grown.vhdx"))), Bytes(6 * kMiB));
  CreateOptions huge;
  huge.virtual_size_bytes = 3 * kTiB;
  ASSERT_TRUE(create(path("huge.vhdx"), huge));
  EXPECT_EQ(refusal(must_open(path("huge.vhdx")), "a.vhd", {}, 0xC03A0012), "create.size.too_large");
}

// Every I/O on the target may fail, in every kind of target: convert says so, and what it calls whole is
// whole.
TEST_F(ConvertTest, AFailureOfAnyIoIsTold) {
  const Bytes bytes = pattern(6 * kMiB, 8);
  const Disk source = raw("source.raw", bytes);
  ASSERT_TRUE(convert(raw("other.raw", pattern(6 * kMiB, 9)), path("parent.vhdx"), {}));
  ASSERT_TRUE(convert(raw("other.raw", pattern(6 * kMiB, 9)), path("parent.vhd"), {}));
  std::vector<ConvertOptions> targets;
  for (const Kind& kind : kKinds) targets.push_back(to(kind));
  for (const FormatId format : {FormatId::kVhd, FormatId::kVhdx}) {
    ConvertOptions options;
    options.target.format = format;
    options.target.parent = path(format == FormatId::kVhd ? "parent.vhd" : "parent.vhdx");
    targets.push_back(options);
  }
  for (ConvertOptions& options : targets) {
    options.jobs = 1;
    const auto report = testing::run_fault_loop(
        std::make_shared<MemoryFile>(path("target")), {.os_errno = 28},
        [&](std::unique_ptr<File> target) { return ops::convert_into(source, *target, options, {}); },
        [&](const std::shared_ptr<File>& left, const Status& result) -> std::string {
          if (!result) return result.error().code() == 112 ? "" : "another code: " + result.error().message();
          const std::string image = folder_.save("left", *left);
          return content(must_open(image, options.target.format)) == bytes ? "" : "success, but other bytes";
        });
    EXPECT_EQ(report.failure, "");
    EXPECT_GE(report.runs, 4U);
  }
}

TEST_F(ConvertTest, CancelledAtAnyMomentItLeavesNothing) {
  const Disk source = raw("source.raw", pattern(24 * kMiB, 10));
  const std::size_t before = folder_.count();
  for (const char* name : {"a.vhd", "a.vhdx"}) {
    OperationControl control;
    control.progress = [&](const Progress&) { control.cancellation.cancel(); };
    const Status status = convert(source, path(name), {}, control);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), 995U);
    EXPECT_EQ(folder_.count(), before);
  }
}

TEST_F(ConvertTest, SeveralThreadsTellOfOneFailure) {
  const Disk source = raw("source.raw", pattern(32 * kMiB, 11));
  fs::resize_file(path("source.raw"), 9 * kMiB);  // under its reader's hands
  ConvertOptions options;
  options.jobs = 6;
  EXPECT_EQ(refusal(source, "a.vhdx", options, 1392), "disk.file_shrunk");
}

TEST_F(ConvertTest, StreamsAreWholeImages) {
  const Bytes bytes = pattern(10 * kMiB, 12);
  ConvertOptions small;
  small.target.block_bytes = kMiB;
  ASSERT_TRUE(convert(raw("source.raw", bytes), path("source.vhdx"), small));
  const Disk source = must_open(path("source.vhdx"));
  const auto stream = [&](const ConvertOptions& options) {
    const int out = ::open(path("stream").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    const int kept = ::dup(STDOUT_FILENO);
    ::dup2(out, STDOUT_FILENO);
    Status status = convert(source, "-", options);
    ::dup2(kept, STDOUT_FILENO);
    ::close(kept);
    ::close(out);
    return status;
  };
  for (const Kind& kind : kKinds) {
    if (kind.format == FormatId::kVhd && kind.type == DiskType::kDynamic) {
      EXPECT_EQ(stream(to(kind)).error().id(), "convert.stream_kind");
      continue;
    }
    ASSERT_TRUE(stream(to(kind))) << kind.name;
    EXPECT_EQ(content(must_open(path("stream"), kind.format)), bytes) << kind.name;
    expect_clean(path("stream"), kind.format);
  }
  ConvertOptions child;
  child.target.format = FormatId::kVhdx;
  child.target.parent = path("source.vhdx");
  EXPECT_EQ(stream(child).error().code(), 50U);
}

TEST_F(ConvertTest, QemuSeesTheSame) {
  if (std::system("qemu-img --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "qemu-img is not installed";
  const Disk source = raw("source.raw", pattern(9 * kMiB + 512, 13));
  for (const Kind& kind : kKinds) {
    if (kind.sector_bytes != 512) continue;  // qemu-img reads such disks, but of whole sectors only
    ASSERT_TRUE(convert(source, path(kind.name), to(kind)));
    const char* name = kind.format == FormatId::kRaw ? "raw" : kind.format == FormatId::kVhd ? "vpc" : "vhdx";
    const std::string command = std::string("qemu-img compare -f raw -F ") + name + " " + path("source.raw") +
                                " " + path(kind.name) + " > /dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << kind.name;
  }
}

// The GPT of UEFI 5.3, made and judged here without any code of the engine.
std::uint32_t plain_crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::byte b : bytes) {
    crc ^= std::to_integer<std::uint32_t>(b);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}
template <class T>
void put(Bytes& bytes, std::uint64_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);  // this host is little-endian, as the table is
}
template <class T>
T get(const Bytes& bytes, std::uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

constexpr std::uint64_t kEntrySectors = 32;

void put_gpt_header(Bytes& disk, std::uint64_t at, std::uint64_t other, std::uint64_t entries) {
  const std::uint64_t sectors = disk.size() / 512;
  const std::uint64_t header = at * 512;
  std::memcpy(disk.data() + header, "EFI PART", 8);
  put<std::uint32_t>(disk, header + 8, 0x10000);
  put<std::uint32_t>(disk, header + 12, 92);
  put<std::uint32_t>(disk, header + 16, 0);
  put<std::uint64_t>(disk, header + 24, at);
  put<std::uint64_t>(disk, header + 32, other);
  put<std::uint64_t>(disk, header + 40, 34);
  put<std::uint64_t>(disk, header + 48, sectors - kEntrySectors - 2);
  put<std::uint64_t>(disk, header + 72, entries);
  put<std::uint32_t>(disk, header + 80, 128);
  put<std::uint32_t>(disk, header + 84, 128);
  put<std::uint32_t>(disk, header + 88, plain_crc32(std::span(disk).subspan(entries * 512, 128 * 128)));
  put<std::uint32_t>(disk, header + 16, plain_crc32(std::span(disk).subspan(header, 92)));
}

/// Of one partition.
Bytes disk_with_gpt(std::uint64_t size) {
  Bytes disk = pattern(size, 21);
  const std::uint64_t last = size / 512 - 1;
  std::ranges::fill(std::span(disk).first(34 * 512), std::byte{0});
  std::ranges::fill(std::span(disk).last((kEntrySectors + 1) * 512), std::byte{0});
  put<std::uint8_t>(disk, 446 + 4, 0xEE);
  put<std::uint32_t>(disk, 446 + 8, 1);
  put<std::uint32_t>(disk, 446 + 12, static_cast<std::uint32_t>(last));
  put<std::uint16_t>(disk, 510, 0xAA55);
  for (const std::uint64_t entries : {std::uint64_t{2}, last - kEntrySectors}) {
    put<std::uint64_t>(disk, entries * 512, 0x1234567890);  // some type
    put<std::uint64_t>(disk, entries * 512 + 32, 2048);
    put<std::uint64_t>(disk, entries * 512 + 40, 6143);
  }
  put_gpt_header(disk, 1, last, 2);
  put_gpt_header(disk, last, 1, last - kEntrySectors);
  return disk;
}

/// "" for a disk whose two tables are whole, agree, and lie where they must.
std::string gpt_problem(const Bytes& disk) {
  const std::uint64_t last = disk.size() / 512 - 1;
  if (get<std::uint32_t>(disk, 446 + 12) != last) return "protective MBR";
  for (const auto& [at, other] : {std::pair{std::uint64_t{1}, last}, std::pair{last, std::uint64_t{1}}}) {
    Bytes header(disk.begin() + static_cast<std::ptrdiff_t>(at * 512),
                 disk.begin() + static_cast<std::ptrdiff_t>(at * 512 + 92));
    const auto crc = get<std::uint32_t>(header, 16);
    put<std::uint32_t>(header, 16, 0);
    if (std::memcmp(header.data(), "EFI PART", 8) != 0) return fmt::format("no header at {}", at);
    if (plain_crc32(header) != crc) return fmt::format("checksum of {}", at);
    if (get<std::uint64_t>(header, 24) != at || get<std::uint64_t>(header, 32) != other) return "places";
    if (get<std::uint64_t>(header, 48) != last - kEntrySectors - 1) return "last usable sector";
    const auto entries = get<std::uint64_t>(header, 72);
    if (entries != (at == 1 ? 2 : last - kEntrySectors)) return "place of entries";
    const auto bytes = std::span(disk).subspan(entries * 512, kEntrySectors * 512);
    if (plain_crc32(bytes) != get<std::uint32_t>(header, 88)) return "entries";
  }
  return "";
}

TEST_F(ConvertTest, AzureTakesWhatConvertMakesForIt) {
  const Bytes bytes = disk_with_gpt(24 * kMiB + 512 * 100);
  ASSERT_EQ(gpt_problem(bytes), "");
  const Disk source = raw("gpt.raw", bytes);
  std::string remarks;
  OperationControl control;
  control.trace = [&](TraceLevel, std::string_view text) { remarks += text; };
  ConvertOptions options;
  options.azure = true;
  const auto faults_of = [&](const std::string& image) {
    std::string ids;
    const auto report = check_for_azure(image, {});
    EXPECT_TRUE(report);
    for (const Finding& finding : report->findings) ids += finding.fault + " ";
    return ids;
  };
  ASSERT_TRUE(convert(source, path("plain.vhd"), options, control));
  EXPECT_NE(remarks.find("--fix-gpt"), std::string::npos);
  EXPECT_EQ(faults_of(path("plain.vhd")), "check.azure.gpt ");
  options.fix_gpt = true;
  ASSERT_TRUE(convert(source, path("fixed.vhd"), options, control));
  EXPECT_EQ(faults_of(path("fixed.vhd")), "");
  expect_clean(path("fixed.vhd"));
  const Disk fixed = must_open(path("fixed.vhd"));
  EXPECT_EQ(fixed.geometry().virtual_size_bytes, 25 * kMiB);
  EXPECT_EQ(fs::file_size(path("fixed.vhd")), 25 * kMiB + 512);
  const Bytes grown = content(fixed);
  EXPECT_EQ(gpt_problem(grown), "");
  EXPECT_TRUE(std::equal(bytes.begin() + 34 * 512, bytes.end() - 33 * 512, grown.begin() + 34 * 512))
      << "nothing else changed";

  ASSERT_TRUE(convert(source, path("dynamic.vhd"), {}));
  EXPECT_EQ(faults_of(path("dynamic.vhd")), "check.azure.format check.azure.size ");
  ConvertOptions tiny;
  tiny.azure = true;
  ASSERT_TRUE(convert(raw("tiny.raw", Bytes(4 * kMiB)), path("tiny.vhd"), tiny));
  EXPECT_EQ(faults_of(path("tiny.vhd")), "check.azure.range ");
  options.target.type = DiskType::kDynamic;
  EXPECT_EQ(refusal(source, "no.vhd", options, 87), "convert.azure");
  // A fixed VHD with something between disk and footer: qemu writes none such, but others do.
  Bytes longer = testing::state_of(path("tiny.vhd")).bytes;
  longer.insert(longer.end() - 512, 512, std::byte{0});
  folder_.save("longer.vhd", longer);
  const auto report = check_for_azure(path("longer.vhd"), {});
  ASSERT_TRUE(report) << report.error().message();
  ASSERT_FALSE(report->findings.empty());
  EXPECT_EQ(report->findings.front().fault, "check.azure.length");
}

/// Bytes that this process read and wrote through system calls so far.
std::uint64_t bytes_moved() {
  std::ifstream io("/proc/self/io");
  std::uint64_t sum = 0;
  std::string name;
  for (std::uint64_t value = 0; io >> name >> value;) {
    if (name == "rchar:" || name == "wchar:") sum += value;
  }
  return sum;
}

TEST_F(ConvertTest, BlocksAreSharedWhereTheFileSystemCan) {
  for (const std::string make : {"mkfs.btrfs -q", "mkfs.xfs -q -m reflink=1"}) {
    SCOPED_TRACE(make);
    std::ofstream(path("volume")).close();
    fs::resize_file(path("volume"), 512 * kMiB);
    fs::create_directory(path("on"));
    const std::string quiet = " > /dev/null 2>&1";
    const std::string mount = "mount -o loop " + path("volume") + " " + path("on");
    if (std::system((make + " " + path("volume") + quiet).c_str()) != 0 ||
        std::system((mount + quiet).c_str()) != 0) {
      GTEST_SKIP() << "no file system that shares blocks can be mounted here";
    }
    {
      Bytes bytes(48 * kMiB + 512, std::byte{0x5A});
      std::fill_n(bytes.begin() + 8 * kMiB, 4 * kMiB, std::byte{0});  // stored zeros, which stay shared
      std::ofstream(path("on/a.raw"), std::ios::binary)
          .write(static_cast<const char*>(static_cast<const void*>(bytes.data())),
                 static_cast<std::streamsize>(bytes.size()));
      std::optional<FormatId> format = FormatId::kRaw;
      std::string last = path("on/a.raw");
      for (const Kind& kind : kKinds) {
        if (kind.sector_bytes != 512) continue;
        const Disk source = must_open(last, format);
        const std::string image = path(std::string("on/") + kind.name);
        const std::uint64_t before = bytes_moved();
        ASSERT_TRUE(convert(source, image, to(kind)));
        EXPECT_LT(bytes_moved() - before, 2 * kMiB) << kind.name << ": tables and the last 512 bytes alone";
        EXPECT_EQ(content(must_open(image, kind.format)), bytes) << kind.name;
        last = image;
        format = kind.format;
      }
      ConvertOptions found = to(kKinds[5]);
      found.zeros = ZeroSearch::kAlways;
      const std::uint64_t before = bytes_moved();
      ASSERT_TRUE(convert(must_open(last, format), path("on/found"), found));
      EXPECT_GT(bytes_moved() - before, 40 * kMiB) << "looked at, not shared";
    }
    EXPECT_EQ(std::system(("umount " + path("on")).c_str()), 0);
    fs::remove(path("volume"));
  }
}

/// Swallows what is written: only where it goes counts.
class NoFile final : public File {
 public:
  Result<std::size_t> read(FileOffset, std::span<std::byte> into) override {
    std::ranges::fill(into, std::byte{0});
    return into.size();
  }
  Status write(FileOffset, std::span<const std::byte>) override { return {}; }
  Status flush() override { return {}; }
  Result<std::uint64_t> size() override { return std::uint64_t{0}; }
  Status resize(std::uint64_t) override { return {}; }
  Status zero(FileOffset, std::uint64_t) override { return {}; }
  Status punch(FileOffset, std::uint64_t) override { return {}; }
  Result<FileOffset> next_data(FileOffset from) override { return from; }
  Result<FileOffset> next_hole(FileOffset from) override { return from; }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return FileIdentity{}; }
  const std::string& name() const noexcept override { return name_; }

 private:
  std::string name_ = "nowhere";
};

TEST(BulkWriterTest, AVhdThatIsFullSaysSo) {
  CreateSpec spec;
  spec.type = DiskType::kDynamic;
  spec.virtual_size_bytes = 2040 * kGiB;
  spec.block_bytes = 512 * kKiB;
  NoFile file;
  const auto writer = format_by_id(FormatId::kVhd).begin_bulk(file, spec, {});
  ASSERT_TRUE(writer);
  std::vector<Placement> places;
  Status status;
  std::uint64_t at = 0;
  for (; at < spec.virtual_size_bytes && status; at += spec.block_bytes) {
    places.clear();
    status = (*writer)->place({{at}, 512}, places);
    if (status) {
      ASSERT_LT(places.back().to.bytes, std::uint64_t{1} << 41);
    }
  }
  ASSERT_FALSE(status) << "4 KiB of room around each block do not fit below 2 TiB";
  EXPECT_EQ(status.error().id(), "vhd.full");
}

}  // namespace
}  // namespace vdisk
