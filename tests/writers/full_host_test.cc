// SPDX-License-Identifier: Apache-2.0
//
// Hosts that are full: a tmpfs that has room for no page more, for one, two, … until everything fits.
// Wherever it fills, the disk opens, checks clean and holds what was flushed, and goes on when there is room
// again.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/checked.h"
#include "base/fault.h"
#include "base/win32_codes.h"
#include "testing/disk_story.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;
using testing::DiskKind;
using testing::DiskStory;
using testing::Narrator;
using testing::TempFolder;
using Verb = DiskStory::Verb;

/// A tmpfs whose size can change at any time. Nobody else sees it, and it goes with this process at the
/// latest.
class SmallHost {
 public:
  SmallHost() {
    mounted_ = ::unshare(CLONE_NEWNS) == 0 &&
               ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("vdisk-test", folder_.path().c_str(), "tmpfs", 0, "size=64m") == 0;
  }
  ~SmallHost() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  SmallHost(const SmallHost&) = delete;
  SmallHost& operator=(const SmallHost&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& path() const { return folder_.path(); }
  std::string path(const std::string& name) const { return folder_.path(name); }

  /// Leaves room for `pages` pages.
  void fill(std::uint64_t pages) const {
    struct statvfs facts{};
    VDISK_ASSERT(::statvfs(path().c_str(), &facts) == 0);
    resize((facts.f_blocks - facts.f_bfree + pages) * facts.f_bsize);
  }
  void make_room() const { resize(64 * kMiB); }

 private:
  void resize(std::uint64_t bytes) const {
    // A size of 0 would be no limit.
    const std::string size = fmt::format("size={}", std::max<std::uint64_t>(bytes, 1));
    VDISK_ASSERT(::mount(nullptr, path().c_str(), nullptr, MS_REMOUNT, size.c_str()) == 0);
  }
  TempFolder folder_;
  bool mounted_ = false;
};

Disk open_writable(const std::string& path) {
  OpenOptions options;
  options.writable = true;
  auto disk = Disk::open(path, options);
  if (!disk) ADD_FAILURE() << disk.error().message();
  return std::move(disk).value();
}

/// Opens without a lock: the writer still has it.
std::string judge(const std::string& path, const DiskStory& story, DiskStory::Certain certain) {
  OpenOptions options;
  options.lock = LockMode::kNone;
  const auto disk = Disk::open(path, options);
  if (!disk) return "does not open: " + disk.error().message();
  const std::string wrong = story.judge(*disk, certain);
  return wrong.empty() ? testing::check_flaws(path) : wrong;
}

/// Goes on after failures, as a guest does. Returns how many there were, none of another kind than a full
/// host's.
int write_session(const Disk& disk, DiskStory& story) {
  int failures = 0;
  const auto note = [&](const Status& status) {
    if (status) return;
    ++failures;
    EXPECT_EQ(status.error().code(), win32::kDiskFull) << status.error().message();
  };
  Narrator narrator(disk, story, 0, 1, 0);
  const std::uint64_t block = story.kind().block_bytes / DiskStory::kUnit;
  note(narrator.write(1 * block, 8));
  note(narrator.write(2 * block - 8, 24));  // into the next block
  note(narrator.flush());
  note(narrator.discard(Verb::kTrim, 0, block));
  note(narrator.write(5 * block + 16, 16));
  note(narrator.discard(Verb::kZero, 1 * block, 8));
  note(narrator.flush());
  note(narrator.flush());
  note(narrator.write(6 * block, 3 * block));
  note(narrator.discard(Verb::kZero, 9 * block, 2 * block));
  note(narrator.write(3 * block + 8, 8));
  note(narrator.flush());
  note(narrator.discard(Verb::kTrim, 6 * block, block));
  note(narrator.write(10 * block, 8));
  note(narrator.write(11 * block, 8));
  return failures;
}

class FullHost : public ::testing::TestWithParam<DiskKind> {
 protected:
  void SetUp() override {
    host_ = std::make_unique<SmallHost>();
    if (!host_->mounted()) GTEST_SKIP() << "a tmpfs cannot be mounted here: " << std::strerror(errno);
  }
  const SmallHost& host() const { return *host_; }

 private:
  std::unique_ptr<SmallHost> host_;
};
INSTANTIATE_TEST_SUITE_P(
    Kinds, FullHost,
    ::testing::Values(
        DiskKind{.format = FormatId::kVhdx, .disk_bytes = 12 * kMiB},
        DiskKind{.format = FormatId::kVhdx, .depth = 3, .disk_bytes = 12 * kMiB},
        DiskKind{.format = FormatId::kVhd, .block_bytes = 512 * kKiB, .disk_bytes = 6 * kMiB},
        DiskKind{.format = FormatId::kVhd, .depth = 3, .block_bytes = 512 * kKiB, .disk_bytes = 6 * kMiB}),
    [](const auto& kind) { return kind.param.name(); });

/// 0 to 40 one by one; beyond them the pages are payload's, and a part of the numbers is enough.
std::uint64_t next_page_count(std::uint64_t pages) { return pages < 40 ? pages + 1 : pages + 23; }

TEST_P(FullHost, CostsNoSessionItsDisk) {
  const TempFolder elsewhere;
  const std::string pristine = testing::make_disk(elsewhere.path(), GetParam(), 1);
  for (int layer = 0; layer < GetParam().depth; ++layer) {
    fs::copy_file(elsewhere.path(GetParam().file_name(layer)), host().path(GetParam().file_name(layer)));
  }
  const std::string path = host().path(GetParam().file_name(GetParam().depth - 1));
  int places = 0, went_on = 0;
  for (std::uint64_t pages = 0;; pages = next_page_count(pages)) {
    SCOPED_TRACE(::testing::Message() << "room for " << pages << " pages");
    host().make_room();
    fs::copy_file(pristine, path, fs::copy_options::overwrite_existing);
    DiskStory story(GetParam());
    std::optional<Disk> disk = open_writable(path);
    story.begin(*disk);
    Narrator narrator(*disk, story, 0, 1, 1);
    ASSERT_TRUE(narrator.write(0, story.kind().block_bytes / DiskStory::kUnit));
    ASSERT_TRUE(narrator.flush());
    host().fill(pages);
    const int failures = write_session(*disk, story);
    ASSERT_EQ(judge(path, story, DiskStory::Certain::kFlushed), "");
    // Every other time the disk is closed while the host is full.
    const bool closes = pages % 2 == 1;
    Status closed;
    if (closes) closed = disk->close();
    ASSERT_EQ(judge(path, story, DiskStory::Certain::kFlushed), "");
    if (failures == 0 && closed) {
      ASSERT_GT(places, 20);
      break;
    }
    ++places;
    host().make_room();
    if (!closes) {
      // No commit needed space that it did not have, so nothing is poisoned.
      const Status again = narrator.write(8, 16);
      ASSERT_TRUE(again) << again.error().message();
      ASSERT_TRUE(narrator.flush());
      ++went_on;
    }
    ASSERT_TRUE(disk->close());
    disk.reset();  // and with it the lock
    Disk next = open_writable(path);
    ASSERT_EQ(story.judge(next, DiskStory::Certain::kFlushed), "");
    DiskStory later(GetParam());
    later.begin(next);
    Narrator anew(next, later, 0, 1, 2);
    for (int i = 0; i < 12; ++i) {
      const Status step = anew.step();
      ASSERT_TRUE(step) << step.error().message();
    }
    const Status end = next.close();
    ASSERT_TRUE(end) << end.error().message();
    ASSERT_EQ(judge(path, later, DiskStory::Certain::kDone), "");
  }
  RecordProperty("places", places);
  EXPECT_GT(went_on, 0);
}

/// Runs `operation`, which makes `path`, with more and more room. It either works or fails with 112 and
/// leaves no file.
int fill_under(const SmallHost& host, const std::string& path, const std::function<Status()>& operation) {
  int places = 0;
  for (std::uint64_t pages = 0;; pages = next_page_count(pages)) {
    host.fill(pages);
    const auto names_before = std::distance(fs::directory_iterator(host.path()), {});
    const Status done = operation();
    const auto names_after = std::distance(fs::directory_iterator(host.path()), {});
    host.make_room();
    EXPECT_EQ(names_after, names_before + (done ? 1 : 0)) << "room for " << pages << " pages";
    if (done) break;
    ++places;
    EXPECT_EQ(done.error().code(), win32::kDiskFull) << done.error().message();
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_EQ(testing::check_flaws(path), "");
  return places;
}

TEST_P(FullHost, LeavesNoHalfCreatedDisk) {
  const std::string first = testing::make_disk(host().path(), GetParam(), 1);
  int places = 0;
  for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic, DiskType::kDifferencing}) {
    CreateOptions options;
    options.type = type;
    if (type == DiskType::kDifferencing) {
      options.parent = first;
    } else {
      options.virtual_size_bytes = 4 * kMiB;
    }
    const std::string path = host().path(std::string(to_string(type)) + fs::path(first).extension().string());
    places += fill_under(host(), path, [&] { return create(path, options); });
  }
  RecordProperty("places", places);
  EXPECT_GT(places, 20);
}

TEST_P(FullHost, LeavesNoHalfConvertedDisk) {
  const TempFolder elsewhere;
  const std::string path = testing::make_disk(elsewhere.path(), GetParam(), 1);
  DiskStory story(GetParam());
  {
    Disk disk = open_writable(path);
    EXPECT_EQ(write_session(disk, story), 0);
    ASSERT_TRUE(disk.close());
  }
  const auto source = Disk::open(path);
  ASSERT_TRUE(source);
  int places = 0;
  for (const char* name : {"to.vhd", "to.vhdx"}) {
    const std::string target = host().path(name);
    places += fill_under(host(), target, [&] { return convert(*source, target, {}); });
    const auto copy = Disk::open(target);
    ASSERT_TRUE(copy) << copy.error().message();
    const auto difference = diff(*source, *copy, {});
    ASSERT_TRUE(difference);
    EXPECT_TRUE(difference->same);
    fs::remove(target);
  }
  RecordProperty("places", places);
  EXPECT_GT(places, 40);
}

}  // namespace
}  // namespace vdisk
