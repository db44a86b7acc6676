// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>
#include <vdisk/disk.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <new>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "disk/fault_catalogue.h"
#include "io/file.h"
#include "testing/heap_counter.h"
#include "testing/vhd_builder.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::vhd_id;
using testing::VhdBuilder;

constexpr std::uint64_t kDiskBytes = 8 * kMiB;
constexpr int kDepth = 5;

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_disk_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string write(const std::string& name, const std::string& content) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  std::string save(const std::string& name, const VhdBuilder& builder) const {
    const std::vector<std::byte> bytes = builder.bytes();
    std::FILE* out = std::fopen(path(name).c_str(), "wb");
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), out), bytes.size());
    std::fclose(out);
    return path(name);
  }

  static OpenOptions raw() {
    OpenOptions options;
    options.format = FormatId::kRaw;
    return options;
  }
  static Disk open(const std::string& path, const OpenOptions& options = {}) {
    auto disk = Disk::open(path, options);
    if (!disk) {
      ADD_FAILURE() << disk.error().message();
      std::abort();
    }
    return *std::move(disk);
  }

  // A chain whose layers each hold scattered sectors; `model_` is what the disk shows.
  std::string make_chain() {
    model_.assign(kDiskBytes, '\0');
    std::mt19937 random(7);
    for (std::uint8_t layer = 0; layer < kDepth; ++layer) {
      VhdBuilder builder =
          layer == 0 ? VhdBuilder::dynamic(kDiskBytes, kMiB) : VhdBuilder::differencing(kDiskBytes, kMiB);
      builder.unique_id(vhd_id(layer));
      if (layer != 0) {
        builder.parent(vhd_id(static_cast<std::uint8_t>(layer - 1)),
                       ".\\" + std::to_string(layer - 1) + ".vhd");
      }
      for (int i = 0; i < 30; ++i) {
        const std::uint64_t first = random() % (kDiskBytes / 512 - 64);
        const std::uint64_t count = 1 + random() % 64;
        const auto value = static_cast<std::uint8_t>(layer * 40 + i + 1);
        builder.fill(first, count, value);
        std::fill_n(model_.begin() + static_cast<std::ptrdiff_t>(first * 512), count * 512,
                    static_cast<char>(value));
      }
      save(std::to_string(layer) + ".vhd", builder);
    }
    return path(std::to_string(kDepth - 1) + ".vhd");
  }

  std::string folder_;
  std::string model_;
};

std::string read_text(const Disk& disk, std::uint64_t at, std::size_t length) {
  std::string got(length, '?');
  const Status read = disk.read(DiskOffset{at}, std::as_writable_bytes(std::span(got)));
  return read ? got : std::string(read.error().id());
}

TEST_F(DiskTest, RawFileReadsAsItIs) {
  std::string content(4096, 'a');
  content[1000] = 'b';
  const Disk disk = open(write("disk.img", content), raw());
  EXPECT_EQ(disk.geometry().virtual_size_bytes, 4096U);
  EXPECT_EQ(disk.format(), FormatId::kRaw);
  EXPECT_EQ(disk.type(), DiskType::kFixed);
  EXPECT_EQ(disk.layer_count(), 1U);
  EXPECT_EQ(read_text(disk, 999, 3), "aba");
  EXPECT_EQ(read_text(disk, 4096, 0), "");
}

TEST_F(DiskTest, RawFilesAreWholeSectors) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{511}, std::size_t{513}}) {
    const auto refused = Disk::open(write("disk.img", std::string(bytes, 'a')), raw());
    ASSERT_FALSE(refused) << bytes;
    EXPECT_EQ(refused.error().id(), "raw.size");
    EXPECT_EQ(refused.error().code(), 0xC03A0012U);
  }
}

TEST_F(DiskTest, WritesAreJudgedBeforeTheyTouchTheImage) {
  const std::string image = save("disk.vhd", VhdBuilder::dynamic(kDiskBytes, kMiB));
  const auto refusal = [](const Disk& disk, std::uint64_t at, std::size_t length) {
    const Status written = disk.write(DiskOffset{at}, std::vector<std::byte>(length));
    return written ? std::pair<std::string, Win32Code>{"", 0U}
                   : std::pair<std::string, Win32Code>{written.error().id(), written.error().code()};
  };
  using Refusal = std::pair<std::string, Win32Code>;
  EXPECT_EQ(refusal(open(image), 0, 512), Refusal("disk.not_writable", 19U));
  OpenOptions options;
  options.writable = true;
  options.strict_tracking = true;
  const Disk disk = open(image, options);
  EXPECT_EQ(refusal(disk, 1, 512), Refusal("disk.unaligned", 87U));
  EXPECT_EQ(refusal(disk, 512, 511), Refusal("disk.unaligned", 87U));
  EXPECT_EQ(refusal(disk, kDiskBytes, 512), Refusal("disk.past_end", 38U));
  write("disk.vhd.rct", "");
  EXPECT_EQ(refusal(disk, 0, 512), Refusal("disk.stale_tracking", 5U));
}

TEST_F(DiskTest, RangesEndWithTheDisk) {
  const Disk disk = open(write("disk.img", std::string(4096, 'a')), raw());
  for (const auto& [at, length] :
       {std::pair<std::uint64_t, std::size_t>{4095, 2}, {4097, 0}, {4096, 1}, {~0ULL, 1}}) {
    std::string got(length, '?');
    const Status read = disk.read(DiskOffset{at}, std::as_writable_bytes(std::span(got)));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().id(), "disk.past_end");
    EXPECT_EQ(read.error().code(), 38U);
  }
  std::vector<Extent> extents;
  EXPECT_EQ(disk.extents({{4000}, 97}, extents).error().id(), "disk.past_end");
}

TEST_F(DiskTest, AFileThatShrinksIsTold) {
  const std::string name = write("disk.img", std::string(8192, 'a'));
  const Disk disk = open(name, raw());
  ASSERT_EQ(::truncate(name.c_str(), 4096), 0);
  EXPECT_EQ(read_text(disk, 0, 4096), std::string(4096, 'a'));
  EXPECT_EQ(read_text(disk, 4000, 200), "disk.file_shrunk");
}

TEST_F(DiskTest, AChainShowsTheNewestData) {
  const Disk disk = open(make_chain());
  EXPECT_EQ(disk.layer_count(), std::size_t{kDepth});
  EXPECT_TRUE(read_text(disk, 0, kDiskBytes) == model_);
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t at = random() % kDiskBytes;
    const std::size_t length = random() % std::min<std::uint64_t>(kDiskBytes - at, 200'000);
    ASSERT_TRUE(read_text(disk, at, length) == model_.substr(at, length)) << at << "+" << length;
  }
}

TEST_F(DiskTest, ExtentsCoverTheDiskAndTellTheTruth) {
  const Disk disk = open(make_chain());
  std::vector<std::unique_ptr<std::ifstream>> files;
  for (std::size_t i = 0; i < disk.layer_count(); ++i) {
    files.push_back(std::make_unique<std::ifstream>(disk.info(i)->path, std::ios::binary));
  }
  for (const std::size_t most : {std::size_t{1024}, std::size_t{3}}) {
    std::uint64_t at = 0;
    while (at < kDiskBytes) {
      std::vector<Extent> extents;
      const auto covered = disk.extents({{at}, kDiskBytes - at}, extents, most);
      ASSERT_TRUE(covered);
      ASSERT_GE(*covered, 512U);
      ASSERT_LE(extents.size(), most);
      const std::uint64_t end = at + *covered;
      for (const Extent& extent : extents) {
        ASSERT_EQ(extent.range.at.bytes, at);
        std::string bytes(extent.range.length, '\0');
        if (extent.source == Extent::Source::kData) {
          files[extent.layer]->seekg(static_cast<std::streamoff>(extent.from.bytes));
          files[extent.layer]->read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        }
        ASSERT_TRUE(bytes == model_.substr(at, bytes.size()));
        at += extent.range.length;
      }
      ASSERT_EQ(at, end);
    }
  }
}

TEST_F(DiskTest, WithoutParentsOnlyTheLeafsDataReads) {
  VhdBuilder builder = VhdBuilder::differencing(kDiskBytes, kMiB);
  const std::string child = save("child.vhd", builder.parent(vhd_id(0), ".\\gone.vhd").fill(4, 2, 'c'));
  OpenOptions options;
  options.no_parents = true;
  const Disk disk = open(child, options);
  EXPECT_EQ(read_text(disk, 4 * 512, 1024), std::string(1024, 'c'));
  std::string got(1, '?');
  const Status read = disk.read(DiskOffset{6 * 512}, std::as_writable_bytes(std::span(got)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().id(), "disk.parent_not_open");
  EXPECT_EQ(read.error().code(), 0xC03A000DU);
  std::vector<Extent> extents;
  EXPECT_EQ(*disk.extents({{0}, kDiskBytes}, extents), kDiskBytes);
  ASSERT_EQ(extents.size(), 3U);
  EXPECT_EQ(extents[0].source, Extent::Source::kUnresolved);
  EXPECT_EQ(extents[1].source, Extent::Source::kData);
  const auto info = disk.info();
  ASSERT_TRUE(info && info->parent);
  EXPECT_FALSE(info->parent->resolved);
  EXPECT_EQ(info->parent->path, ".\\gone.vhd");
  EXPECT_THAT(info->parent->candidates, ElementsAre(path("gone.vhd")));
}

TEST_F(DiskTest, InfoDescribesEachLayer) {
  const std::string leaf = make_chain();
  write(std::to_string(kDepth - 1) + ".vhd.rct", "x");
  write(std::to_string(kDepth - 1) + ".vhd.mrt", "x");
  const Disk disk = open(leaf);
  const auto info = disk.info();
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(info->path, leaf);
  EXPECT_EQ(info->format, FormatId::kVhd);
  EXPECT_EQ(info->type, DiskType::kDifferencing);
  EXPECT_EQ(info->virtual_size_bytes, kDiskBytes);
  EXPECT_EQ(info->file_size_bytes, fs::file_size(leaf));
  EXPECT_GT(*info->allocated_bytes, 0U);
  EXPECT_THAT(info->change_tracking_files, ElementsAre(leaf + ".rct", leaf + ".mrt"));
  ASSERT_TRUE(info->parent);
  EXPECT_TRUE(info->parent->resolved);
  EXPECT_EQ(info->parent->path, path(std::to_string(kDepth - 2) + ".vhd"));
  const auto base = disk.info(kDepth - 1);
  ASSERT_TRUE(base);
  EXPECT_FALSE(base->parent);
  EXPECT_EQ(base->type, DiskType::kDynamic);
  const auto none = disk.info(kDepth);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().id(), "disk.no_layer");
  EXPECT_EQ(none.error().code(), 87U);
}

TEST_F(DiskTest, WindowsPathsGoThroughTheMap) {
  write("drive/Images/Disk.img", std::string(512, 'w'));
  OpenOptions options = raw();
  const auto unmapped = Disk::open(R"(C:\images\DISK.img)", options);
  ASSERT_FALSE(unmapped);
  EXPECT_EQ(unmapped.error().id(), "disk.unmapped_path");
  EXPECT_EQ(unmapped.error().code(), 3U);
  EXPECT_THAT(unmapped.error().message(), HasSubstr("--map-drive C:=DIR"));
  options.parents.drive_map = {{"C:", path("drive")}};
  EXPECT_EQ(read_text(open(R"(C:\images\DISK.img)", options), 0, 1), "w");
  EXPECT_EQ(Disk::open(R"(C:\images\none.img)", options).error().id(), "io.not_found");
  EXPECT_EQ(Disk::open(R"(C:\none\none.img)", options).error().id(), "io.path_not_found");
  // A Linux file that merely looks so wins.
  const std::string odd = write("a\\b.img", std::string(512, 'l'));
  EXPECT_EQ(read_text(open(odd, options), 0, 1), "l");
}

TEST_F(DiskTest, ReadingAllocatesNothing) {
  const Disk disk = open(make_chain());
  std::vector<std::byte> into(kDiskBytes);
  ASSERT_TRUE(disk.read({}, into));  // loads every table page
  const testing::HeapCounter heap;
  ASSERT_TRUE(disk.read({}, into));
  for (std::uint64_t at = 0; at + 4096 <= kDiskBytes; at += 65536) {
    ASSERT_TRUE(disk.read(DiskOffset{at}, std::span(into).first(4096)));
  }
  EXPECT_EQ(heap.allocations(), 0U);
}

TEST_F(DiskTest, ExhaustedMemoryIsAFaultWhereverItHappens) {
  const std::string leaf = make_chain();
  int failures = 0;
  for (std::int64_t n = 0;; ++n) {
    ASSERT_LT(n, 100'000);
    testing::fail_allocation(n);
    auto disk = Disk::open(leaf);
    const bool reached = !testing::cancel_failing_allocation();
    if (!reached) {
      EXPECT_TRUE(disk) << disk.error().message();
      break;
    }
    // Where the library can do without what the memory was for (a note, a hint), the disk may still open.
    if (!disk) {
      ASSERT_EQ(disk.error().id(), "base.memory") << disk.error().message();
      ASSERT_EQ(disk.error().code(), 8U);
      ++failures;
    }
  }
  EXPECT_GT(failures, 20);
}

TEST_F(DiskTest, ManyThreadsReadOneDisk) {
  const Disk disk = open(make_chain());
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::string got(20'000, '?');
      std::vector<Extent> extents;
      for (int i = 0; i < 300; ++i) {
        const std::uint64_t at = random() % (kDiskBytes - got.size());
        if (!disk.read(DiskOffset{at}, std::as_writable_bytes(std::span(got)))) ++wrong;
        if (model_.compare(at, got.size(), got) != 0) ++wrong;
        extents.clear();
        if (!disk.extents({{at}, got.size()}, extents)) ++wrong;
        if (i % 100 == 0 && !disk.info(t % kDepth)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(FaultCatalogueTest, EveryRowOnceAndComplete) {
  std::set<std::string_view> ids;
  for (const Fault* row : all_faults()) {
    EXPECT_TRUE(ids.insert(row->id).second) << row->id;
    // Remarks of check that are no failure have no code.
    const bool remark = row->id.find(".check.") != std::string_view::npos || row->id.ends_with(".pending");
    EXPECT_TRUE(row->code != 0U || remark) << row->id;
    EXPECT_TRUE(row->meaning.ends_with('.')) << row->id;
    EXPECT_NE(row->id.find('.'), std::string_view::npos) << row->id;
  }
  for (const char* id :
       {"base.memory", "io.locked", "format.unrecognised", "raw.size", "chain.cycle", "disk.past_end"}) {
    EXPECT_TRUE(ids.contains(id)) << id;
  }
}

}  // namespace
}  // namespace vdisk
