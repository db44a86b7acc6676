// SPDX-License-Identifier: Apache-2.0
//
// Every crime of the corpus, through the public API, on real files: found out by its row, at its stage,
// within bounds of memory and time, and without a change to any file. VDISK_HOSTILE_DIR=DIR keeps the images
// in DIR.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/checked.h"
#include "base/fault.h"
#include "crimes.h"
#include "disk/fault_catalogue.h"
#include "testing/heap_counter.h"
#include "testing/temp_folder.h"

namespace vdisk::hostile {
namespace {

namespace fs = std::filesystem;
using Stage = Crime::Stage;

/// What this process asked of the system's files so far.
std::uint64_t bytes_read() {
  std::ifstream counters("/proc/self/io");
  std::string name;
  std::uint64_t value = 0;
  while (counters >> name >> value) {
    if (name == "rchar:") return value;
  }
  return 0;
}

/// Reads all that the disk shows, in the places where something is; the id of the failure, or "".
std::string read_all(const Disk& disk) {
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  std::vector<std::byte> buffer(kMiB);
  std::vector<Extent> extents;
  for (std::uint64_t at = 0; at < size;) {
    extents.clear();
    const auto covered = disk.extents({{at}, size - at}, extents);
    if (!covered) return std::string(covered.error().id());
    for (const Extent& extent : extents) {
      if (extent.source != Extent::Source::kData) continue;
      const auto length = std::min<std::uint64_t>(extent.range.length, buffer.size());
      const Status read = disk.read(extent.range.at, std::span(buffer).first(length));
      if (!read) return std::string(read.error().id());
    }
    at += *covered;
  }
  return "";
}

bool has(const CheckReport& report, std::string_view fault) {
  return std::ranges::any_of(report.findings, [&](const Finding& finding) { return finding.fault == fault; });
}

class Trial {
 public:
  explicit Trial(const Crime& crime) : crime_(crime) {
    const Files files = crime.make();
    for (const auto& [name, file] : files) folder_.save(name, *file);
    image_ = folder_.path(files.front().first);
    if (const char* keep = ::getenv("VDISK_HOSTILE_DIR")) {
      fs::copy(folder_.path(), fs::path(keep) / crime.name, fs::copy_options::overwrite_existing);
    }
    std::error_code error;
    file_bytes_ = fs::file_size(image_, error);
    changed_ = fs::last_write_time(image_);
  }

  void run() {
    const std::uint64_t read_before = bytes_read();
    const auto begin = std::chrono::steady_clock::now();
    {
      const testing::HeapCounter heap;
      open();
      inspect_it();
      check_it();
      EXPECT_LE(heap.peak_bytes(), 64 * kMiB);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
    EXPECT_LE(bytes_read() - read_before, 64 * kMiB + 16 * std::min<std::uint64_t>(file_bytes_, 64 * kMiB));
    EXPECT_EQ(fs::last_write_time(image_), changed_);
    EXPECT_EQ(fs::file_size(image_), file_bytes_);
  }

 private:
  void open() {
    OpenOptions options;
    // What only check tells may lie in a child without a parent.
    options.no_parents = crime_.stage == Stage::kCheck;
    const auto disk = Disk::open(image_, options);
    if (crime_.stage == Stage::kOpen) {
      ASSERT_FALSE(disk) << "opened";
      EXPECT_EQ(disk.error().id(), crime_.fault) << disk.error().message();
      EXPECT_NE(disk.error().code(), 0U);
      return;
    }
    ASSERT_TRUE(disk) << disk.error().message();
    // 200,000 scattered blocks are not read one by one.
    if (disk->geometry().virtual_size_bytes > kTiB) return;
    EXPECT_EQ(read_all(*disk), crime_.stage == Stage::kRead ? crime_.fault : "");
  }

  void inspect_it() {
    const Inspection inspection = inspect(image_);
    EXPECT_EQ(inspection.info.path, image_);
    if (crime_.stage == Stage::kCheck) {
      EXPECT_FALSE(inspection.error) << inspection.error->message();
    } else if (crime_.stage == Stage::kOpen && !inspection.info.parent) {
      ASSERT_TRUE(inspection.error);
      EXPECT_EQ(inspection.error->id(), crime_.fault);
    }
  }

  void check_it() {
    OpenOptions options;
    options.no_parents = crime_.stage == Stage::kCheck;
    const auto report = check(image_, options, true, {});
    if (!report) {
      EXPECT_EQ(crime_.stage, Stage::kOpen);
      EXPECT_EQ(report.error().id(), crime_.fault) << report.error().message();
      return;
    }
    EXPECT_TRUE(has(*report, crime_.fault))
        << (report->findings.empty() ? "no findings" : report->findings[0].fault);
    if (crime_.stage != Stage::kCheck) {
      EXPECT_TRUE(report->damaged());
    }
  }

  const Crime& crime_;
  testing::TempFolder folder_;
  std::string image_;
  std::uint64_t file_bytes_ = 0;
  fs::file_time_type changed_;
};

TEST(Hostile, EveryCrimeIsFoundOutWithinBounds) {
  for (const Crime& crime : crimes()) {
    SCOPED_TRACE(std::string(crime.name));
    Trial(crime).run();
  }
}

TEST(Hostile, NamesAreUniqueAndFitForFiles) {
  std::set<std::string_view> names;
  for (const Crime& crime : crimes()) {
    EXPECT_TRUE(names.insert(crime.name).second) << crime.name;
    EXPECT_EQ(crime.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string_view::npos)
        << crime.name;
  }
}

TEST(Hostile, EveryRowOfEveryParserHasItsCrime) {
  // Rows that no image provokes by itself.
  const std::map<std::string_view, std::string_view> elsewhere = {
      {"vhdx.header.sequence", "a write's"},
      {"vhd.full", "a write's"},
      {"format.intent.memory", "of memory that a killed server left"},
      {"format.intent.conflict", "of memory that a killed server left"},
      {"vhdx.check.too_scattered", "of a file of petabytes, which no file system here holds"},
      {"vhdx.log.changed", "of a file that another program changes meanwhile"},
      {"iso.read_only", "a writable open's"},
      {"format.not_writable", "a write's"},
      {"chain.parent_access_denied", "of modes, not of content; root is never refused"},
  };
  std::set<std::string_view> provoked;
  for (const Crime& crime : crimes()) provoked.insert(crime.fault);
  for (const Fault* row : all_faults()) {
    const auto folder = row->id.substr(0, row->id.find('.'));
    if (folder != "vhd" && folder != "vhdx" && folder != "vhdset" && folder != "iso" && folder != "chain" &&
        folder != "format") {
      continue;
    }
    if (row->id.find(".write.") != std::string_view::npos) continue;  // a writer's, not a parser's
    EXPECT_TRUE(provoked.contains(row->id) != elsewhere.contains(row->id)) << row->id;
    provoked.erase(row->id);
  }
  EXPECT_TRUE(provoked.empty()) << *provoked.begin() << " is in no table of faults";
}

}  // namespace
}  // namespace vdisk::hostile
