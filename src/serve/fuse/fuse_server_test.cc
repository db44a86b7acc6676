// SPDX-License-Identifier: Apache-2.0
//
// The server over the real kernel: what programs see of the plain files.
#include "serve/fuse/fuse_server.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>

#include "serve/fuse/fuse_test_support.h"

namespace vdisk::serve {
namespace {

using ::testing::UnorderedElementsAre;
using vdisk::testing::TempFolder;

constexpr std::uint64_t kDiskBytes = 24 * kMiB;

std::vector<std::byte> noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> made(bytes);
  std::ranges::generate(made, [&] { return static_cast<std::byte>(random()); });
  return made;
}

/// pread and pwrite that must move everything.
void put(int fd, std::uint64_t at, std::span<const std::byte> from) {
  ASSERT_EQ(::pwrite(fd, from.data(), from.size(), static_cast<off_t>(at)), static_cast<ssize_t>(from.size()))
      << errno_text(errno);
}
std::vector<std::byte> get(int fd, std::uint64_t at, std::size_t bytes) {
  std::vector<std::byte> got(bytes);
  EXPECT_EQ(::pread(fd, got.data(), bytes, static_cast<off_t>(at)), static_cast<ssize_t>(bytes))
      << errno_text(errno);
  return got;
}

struct Kind {
  const char* name;
  FormatId format;
  DiskType type;
  std::uint32_t sector_bytes;
  bool with_parent;
  bool direct;
  bool io_uring = true;
};

class FuseServerTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_FUSE();
    const Kind& kind = GetParam();
    const std::string extension = kind.format == FormatId::kVhd ? ".vhd" : ".vhdx";
    CreateOptions options = dynamic_disk(kind.format, kDiskBytes);
    options.type = kind.type;
    if (kind.format == FormatId::kVhdx) options.logical_sector_bytes = kind.sector_bytes;
    model_.assign(kDiskBytes, std::byte{0});
    if (kind.with_parent) {
      options.type = DiskType::kDynamic;
      const std::string base = folder_.path("base" + extension);
      Disk parent = make_disk(base, options);
      const std::vector<std::byte> content = noise(4 * kMiB, 1);
      ASSERT_TRUE(parent.write({kMiB}, content));
      std::ranges::copy(content, model_.begin() + kMiB);
      ASSERT_TRUE(parent.close());
      options = {};
      options.format = kind.format;
      options.parent = base;
    }
    path_ = folder_.path("disk" + extension);
    disk_.emplace(make_disk(path_, options, kind.direct));
    how_.io_uring = kind.io_uring;
  }

  void change(int fd, std::uint64_t at, std::span<const std::byte> from) {
    put(fd, at, from);
    std::ranges::copy(from, model_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void clear(int fd, int mode, std::uint64_t at, std::uint64_t length) {
    ASSERT_EQ(::fallocate(fd, mode, static_cast<off_t>(at), static_cast<off_t>(length)), 0)
        << errno_text(errno);
    std::fill_n(model_.begin() + static_cast<std::ptrdiff_t>(at), length, std::byte{0});
  }

  TempFolder folder_;
  std::string path_;
  std::vector<std::byte> model_;
  std::optional<Disk> disk_;
  FuseServerOptions how_;
};

TEST_P(FuseServerTest, ShowsWhatWasWrittenAtAnyOffsetAndLength) {
  std::mt19937 random(7);
  {
    ServedForTest served(*disk_, {}, false, how_);
    const UniqueFd file = served.open(O_RDWR);
    ASSERT_TRUE(file) << errno_text(errno);
    for (int i = 0; i < 60; ++i) {
      const std::uint64_t length = 1 + random() % (i % 3 == 0 ? 2 * kMiB : 9000);
      const std::uint64_t at = random() % (kDiskBytes - length);
      switch (random() % 6) {
        case 0:
          clear(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length);
          break;
        case 1:
          clear(file.get(), FALLOC_FL_ZERO_RANGE, at, length);
          break;
        default:
          change(file.get(), at, noise(length, random()));
      }
      const std::uint64_t look = random() % (kDiskBytes - 100'000);
      ASSERT_TRUE(
          std::ranges::equal(get(file.get(), look, 100'000), std::span(model_).subspan(look, 100'000)))
          << "step " << i;
    }
    ASSERT_EQ(::fsync(file.get()), 0);
    ASSERT_EQ(get(file.get(), 0, kDiskBytes), model_);
  }
  ASSERT_TRUE(disk_->close());
  disk_.reset();
  auto again = Disk::open(path_);
  ASSERT_TRUE(again);
  std::vector<std::byte> stored(kDiskBytes);
  ASSERT_TRUE(again->read({}, stored));
  EXPECT_EQ(stored, model_);
  const auto report = check(path_, {}, /*with_parents=*/true, {});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->damaged());
}

TEST_P(FuseServerTest, DirectIoBypassesTheCache) {
  ServedForTest served(*disk_, {}, false, how_);
  const UniqueFd file = served.open(O_RDWR | O_DIRECT);
  ASSERT_TRUE(file) << errno_text(errno);
  constexpr std::size_t kBytes = 3 * kMiB;
  auto* aligned = static_cast<std::byte*>(std::aligned_alloc(4096, kBytes));
  const std::vector<std::byte> content = noise(kBytes, 3);
  std::ranges::copy(content, aligned);
  put(file.get(), 5 * kMiB + 4096, std::span(aligned, kBytes));
  std::fill_n(aligned, kBytes, std::byte{0});
  EXPECT_EQ(::pread(file.get(), aligned, kBytes, 5 * kMiB + 4096), static_cast<ssize_t>(kBytes));
  EXPECT_TRUE(std::ranges::equal(content, std::span(aligned, kBytes)));
  std::free(aligned);
}

constexpr Kind kKinds[] = {
    {"vhdx", FormatId::kVhdx, DiskType::kDynamic, 512, false, false},
    {"vhdx_4k", FormatId::kVhdx, DiskType::kDynamic, 4096, false, false},
    {"vhdx_fixed", FormatId::kVhdx, DiskType::kFixed, 512, false, false},
    {"vhdx_child", FormatId::kVhdx, DiskType::kDifferencing, 512, true, false},
    {"vhd", FormatId::kVhd, DiskType::kDynamic, 512, false, false},
    {"vhd_fixed", FormatId::kVhd, DiskType::kFixed, 512, false, false},
    {"vhd_child", FormatId::kVhd, DiskType::kDifferencing, 512, true, false},
    {"vhdx_direct", FormatId::kVhdx, DiskType::kDynamic, 512, false, true},
    {"vhdx_4k_direct", FormatId::kVhdx, DiskType::kDynamic, 4096, false, true},
    {"vhdx_child_direct", FormatId::kVhdx, DiskType::kDifferencing, 512, true, true},
    {"vhd_direct", FormatId::kVhd, DiskType::kDynamic, 512, false, true},
    {"vhd_child_direct", FormatId::kVhd, DiskType::kDifferencing, 512, true, true},
    {"vhdx_direct_without_io_uring", FormatId::kVhdx, DiskType::kDynamic, 512, false, true, false},
};
INSTANTIATE_TEST_SUITE_P(Formats, FuseServerTest, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

/// A dynamic VHDX with two files over parts of it.
class FuseFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_FUSE();
    path_ = folder_.path("disk.vhdx");
    disk_.emplace(make_disk(path_, dynamic_disk(FormatId::kVhdx, kDiskBytes, kMiB)));
  }
  std::vector<ServedFile> parts(bool read_only = false) const {
    return {{"partition1.raw", &*disk_, {{kMiB}, 8 * kMiB}, read_only},
            {"partition2.raw", &*disk_, {{9 * kMiB}, 8 * kMiB}, read_only}};
  }

  TempFolder folder_;
  std::string path_;
  std::optional<Disk> disk_;
};

TEST_F(FuseFolderTest, ListsItsFiles) {
  ServedForTest served(*disk_, parts());
  DIR* folder = ::fdopendir(::openat(served.folder(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_NE(folder, nullptr);
  std::vector<std::string> names;
  for (const dirent* entry = ::readdir(folder); entry != nullptr; entry = ::readdir(folder)) {
    names.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  EXPECT_THAT(names, UnorderedElementsAre(".", "..", "disk.raw", "partition1.raw", "partition2.raw"));
  struct stat stat{};
  ASSERT_EQ(::fstatat(served.folder(), "partition2.raw", &stat, 0), 0);
  EXPECT_EQ(stat.st_mode, S_IFREG | 0600U);
  EXPECT_EQ(stat.st_size, static_cast<off_t>(8 * kMiB));
  EXPECT_EQ(stat.st_uid, ::geteuid());
  EXPECT_EQ(::fstatat(served.folder(), "other", &stat, 0), -1);
  EXPECT_EQ(errno, ENOENT);
  struct statvfs volume{};
  ASSERT_EQ(::fstatvfs(served.folder(), &volume), 0);
  EXPECT_EQ(volume.f_blocks * volume.f_frsize, kDiskBytes);
  EXPECT_EQ(volume.f_flag & (ST_NOSUID | ST_NODEV), static_cast<unsigned>(ST_NOSUID | ST_NODEV));
}

TEST_F(FuseFolderTest, FilesThatShareBytesAgree) {
  ServedForTest served(*disk_, parts());
  const UniqueFd whole = served.open(O_RDWR);
  const UniqueFd part = served.open(O_RDWR, "partition1.raw");
  ASSERT_TRUE(whole && part);
  for (unsigned i = 0; i < 20; ++i) {
    const std::vector<std::byte> content = noise(10'000, i);
    put(part.get(), 100 * i, content);
    ASSERT_EQ(get(whole.get(), kMiB + 100 * i, content.size()), content) << i;
    const std::vector<std::byte> other = noise(7'000, 100 + i);
    put(whole.get(), kMiB + 100 * i, other);
    ASSERT_EQ(get(part.get(), 100 * i, other.size()), other) << i;
  }
}

TEST_F(FuseFolderTest, HolesAreSeenAndGivenBack) {
  ServedForTest served(*disk_);
  const UniqueFd file = served.open(O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
  EXPECT_EQ(::lseek(file.get(), 5, SEEK_HOLE), 5);
  struct stat stat{};
  ASSERT_EQ(::fstat(file.get(), &stat), 0);
  EXPECT_EQ(stat.st_blocks, 0);

  put(file.get(), 4 * kMiB, noise(2 * kMiB, 1));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), static_cast<off_t>(4 * kMiB));
  EXPECT_EQ(::lseek(file.get(), 4 * kMiB, SEEK_HOLE), static_cast<off_t>(6 * kMiB));
  EXPECT_EQ(::lseek(file.get(), 6 * kMiB, SEEK_DATA), -1);
  EXPECT_EQ(::lseek(file.get(), kDiskBytes, SEEK_HOLE), -1);
  EXPECT_EQ(errno, ENXIO);

  // A block and a half: the whole one goes back, the half of the other reads as zeros.
  ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * kMiB, 3 * kMiB / 2), 0);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), static_cast<off_t>(5 * kMiB));
  EXPECT_EQ(get(file.get(), 5 * kMiB, kMiB / 2), std::vector<std::byte>(kMiB / 2));
  std::vector<Extent> extents;
  ASSERT_TRUE(disk_->extents({{}, kDiskBytes}, extents));
  EXPECT_EQ(extents.size(), 3U);
}

TEST_F(FuseFolderTest, ItsSizeAndOwnerAreWhatTheyAre) {
  ServedForTest served(*disk_);
  const UniqueFd file = served.open(O_RDWR);
  ASSERT_TRUE(file);
  EXPECT_EQ(::ftruncate(file.get(), kDiskBytes), 0);
  EXPECT_EQ(::ftruncate(file.get(), kDiskBytes + 512), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(file.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::fchmod(file.get(), 0644), -1);
  EXPECT_EQ(errno, EPERM);
  const timespec times[2] = {{1, 0}, {1, 0}};
  EXPECT_EQ(::futimens(file.get(), times), 0);
  EXPECT_EQ(::unlinkat(served.folder(), "disk.raw", 0), -1);
  EXPECT_EQ(::openat(served.folder(), "new", O_CREAT | O_RDWR, 0600), -1);
  // Past its end there is no room, as behind the end of a block device.
  const std::byte byte{1};
  EXPECT_EQ(::pwrite(file.get(), &byte, 1, kDiskBytes), -1);
  EXPECT_EQ(errno, ENOSPC);
  const std::vector<std::byte> bytes = noise(100, 1);
  EXPECT_EQ(::pwrite(file.get(), bytes.data(), 100, kDiskBytes - 40), 40);
  EXPECT_EQ(::pread(file.get(), const_cast<std::byte*>(bytes.data()), 100, kDiskBytes - 40), 40);
  EXPECT_EQ(::fallocate(file.get(), 0, 0, 512), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(::fallocate(file.get(), FALLOC_FL_ZERO_RANGE, kDiskBytes - 512, 1024), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(::fallocate(file.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, kDiskBytes - 512, 1024), 0);
}

TEST_F(FuseFolderTest, TheTimeOfTheLastChangeIsShown) {
  ServedForTest served(*disk_);
  const UniqueFd file = served.open(O_RDWR);
  struct stat before{}, after{};
  ASSERT_EQ(::fstat(file.get(), &before), 0);
  put(file.get(), 0, noise(512, 1));
  ASSERT_EQ(::fstat(file.get(), &after), 0);
  EXPECT_GT(std::pair(after.st_mtim.tv_sec, after.st_mtim.tv_nsec),
            std::pair(before.st_mtim.tv_sec, before.st_mtim.tv_nsec));
}

TEST_F(FuseFolderTest, AReadOnlyFolderRefusesWriters) {
  ServedForTest served(*disk_, parts(/*read_only=*/true), /*read_only=*/true);
  EXPECT_FALSE(served.open(O_RDWR));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(served.open(O_RDONLY, "partition1.raw"));
}

TEST_F(FuseFolderTest, AReadOnlyFileInAWritableFolderRefusesWriters) {
  ServedForTest served(*disk_, parts(/*read_only=*/true));
  EXPECT_FALSE(served.open(O_RDWR, "partition1.raw"));
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(served.open(O_RDWR));
}

TEST_F(FuseFolderTest, TheServerEndsWithItsMount) {
  ServedForTest served(*disk_);
  {
    const UniqueFd file = served.open(O_RDWR);
  }
  EXPECT_TRUE(served.end());
}

TEST_F(FuseFolderTest, StopEndsTheServerAndAnotherGoesOn) {
  const std::vector<std::byte> content = noise(kMiB, 5);
  auto connection = connect_hidden(false);
  ASSERT_TRUE(connection);
  const std::vector<ServedFile> files = {{"disk.raw", &*disk_, {{}, kDiskBytes}, false}};
  UniqueFd file;
  {
    FuseServer first(connection->device.get(), files, {});
    std::thread thread([&] { EXPECT_TRUE(first.run()); });
    file = UniqueFd(::openat(connection->mount.get(), "disk.raw", O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file);
    put(file.get(), 0, content);
    first.stop();
    thread.join();
  }
  std::vector<std::byte> got;
  std::thread reader([&] { got = get(file.get(), kMiB / 2, kMiB); });  // waits for the second server
  FuseServer second(connection->device.get(), files, {.resume = true});
  std::thread thread([&] { EXPECT_TRUE(second.run()); });
  reader.join();
  EXPECT_TRUE(std::ranges::equal(std::span(got).first(kMiB / 2), std::span(content).last(kMiB / 2)));
  EXPECT_EQ(get(file.get(), 0, kMiB), content);
  file.reset();
  second.stop();
  thread.join();
}

TEST_F(FuseFolderTest, AnAbortedConnectionIsAnError) {
  auto connection = connect_hidden(false);
  ASSERT_TRUE(connection);
  FuseServer server(connection->device.get(), {{"disk.raw", &*disk_, {{}, kDiskBytes}, false}}, {});
  Status result;
  std::thread thread([&] { result = server.run(); });
  const UniqueFd file(::openat(connection->mount.get(), "disk.raw", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file);
  const auto number = connection_of(file.get());
  ASSERT_TRUE(number);
  ASSERT_TRUE(abort_connection(*number));
  thread.join();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "fuse.connection");
  char byte = 0;
  EXPECT_EQ(::pread(file.get(), &byte, 1, 0), -1);
  const auto gone = abort_connection(*number);
  EXPECT_TRUE(!gone || *number != 0);  // the kernel keeps the entry while files are open
}

TEST(FuseServerAlone, CannotResumeWhatIsNoConnection) {
  TempFolder folder;
  const UniqueFd device(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  FuseServer server(device.get(), {}, {.resume = true});
  const Status result = server.run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().id(), "fuse.no_resend");
}

}  // namespace
}  // namespace vdisk::serve
