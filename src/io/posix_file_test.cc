// SPDX-License-Identifier: Apache-2.0
#include "io/posix_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/unique_fd.h"
#include "io/faults.h"
#include "testing/loop_device.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

class PosixFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_io_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  static std::unique_ptr<File> open(const std::string& path, bool writable) {
    auto file = open_posix_file(path, {.writable = writable, .lock = true, .trace = {}});
    EXPECT_TRUE(file) << file.error().message();
    return file ? *std::move(file) : nullptr;
  }
  static std::string id_of(const Result<std::unique_ptr<File>>& file) {
    return file ? "opened" : std::string(file.error().id());
  }
  static std::string open_id(const std::string& path, bool writable = false) {
    return id_of(open_posix_file(path, {.writable = writable, .lock = true, .trace = {}}));
  }
  static std::string content(File& file) {
    std::string text(*file.size(), '?');
    EXPECT_TRUE(read_exactly(file, {}, std::as_writable_bytes(std::span(text))));
    return text;
  }

  std::string folder_;
};

TEST_F(PosixFileTest, ReadsWritesAndEnds) {
  const auto file = open(write("a", "0123456789"), true);
  ASSERT_NE(file, nullptr);
  std::string got(6, '?');
  const auto count = file->read(FileOffset{7}, std::as_writable_bytes(std::span(got)));
  ASSERT_TRUE(count);
  EXPECT_EQ(*count, 3U);
  EXPECT_EQ(got.substr(0, 3), "789");
  EXPECT_EQ(*file->read(FileOffset{~std::uint64_t{0}}, std::as_writable_bytes(std::span(got))), 0U);
  ASSERT_TRUE(file->write(FileOffset{12}, bytes_of("xy")));
  EXPECT_EQ(content(*file), std::string("0123456789\0\0xy", 14));
  ASSERT_TRUE(file->resize(3));
  EXPECT_EQ(content(*file), "012");
  EXPECT_TRUE(file->flush());
}

TEST_F(PosixFileTest, PiecesLargerThanOneCallMoves) {
  const auto file = open(write("a", ""), true);
  ASSERT_NE(file, nullptr);
  const std::uint64_t beyond = 3 * kGiB;
  ASSERT_TRUE(file->resize(beyond));
  ASSERT_TRUE(file->write(FileOffset{beyond - 1}, bytes_of("z")));
  // One call moves 1 GiB. A buffer that large would cost as much; 64 MiB mapped again and again cost 64 MiB.
  constexpr std::uint64_t kMapped = 64 * kMiB;
  const std::uint64_t length = 17 * kMapped;
  auto* const into = static_cast<std::byte*>(
      ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  ASSERT_NE(into, MAP_FAILED);
  const auto backing = open(write("memory", ""), true);
  ASSERT_TRUE(backing->resize(kMapped));
  for (std::uint64_t at = 0; at < length; at += kMapped) {
    ASSERT_NE(::mmap(into + at, kMapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, backing->fd(), 0),
              MAP_FAILED);
  }
  const auto got = file->read(FileOffset{beyond - length}, std::span(into, length));
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, length);
  EXPECT_EQ(into[length - 1], std::byte{'z'});
  EXPECT_EQ(into[0], std::byte{0});
  ::munmap(into, length);
}

TEST_F(PosixFileTest, ZeroAndPunchClearWithoutChangingTheSize) {
  const auto file = open(write("a", std::string(256 * 1024, 'a')), true);
  ASSERT_NE(file, nullptr);
  ASSERT_TRUE(file->zero(FileOffset{100}, 200));
  ASSERT_TRUE(file->punch(FileOffset{64 * 1024}, 64 * 1024));
  ASSERT_TRUE(file->punch(FileOffset{250 * 1024}, ~std::uint64_t{0}));
  ASSERT_TRUE(file->zero(FileOffset{1 * kGiB}, 5));
  std::string expected(256 * 1024, 'a');
  std::fill_n(expected.begin() + 100, 200, '\0');
  std::fill_n(expected.begin() + 64 * 1024, 64 * 1024, '\0');
  std::fill(expected.begin() + 250 * 1024, expected.end(), '\0');
  EXPECT_EQ(content(*file), expected);
  const FileOffset hole = *file->next_hole({});
  const FileOffset data = *file->next_data(FileOffset{64 * 1024});
  EXPECT_TRUE(hole.bytes == 64 * 1024 || hole.bytes == *file->size()) << hole.bytes;
  EXPECT_TRUE(data.bytes == 128 * 1024 || data.bytes == 64 * 1024) << data.bytes;
  EXPECT_EQ(file->next_data(FileOffset{kGiB})->bytes, 256U * 1024);
}

TEST_F(PosixFileTest, ZeroFallsBackToWriting) {
  if (!fs::exists("/dev/shm")) GTEST_SKIP() << "SKIPPED: no /dev/shm";
  std::string name = "/dev/shm/vdisk_XXXXXX";
  const int fd = ::mkstemp(name.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, 4096), 0);
  // tmpfs knows no FALLOC_FL_ZERO_RANGE.
  EXPECT_NE(::fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  ::close(fd);
  const auto file = open(name, true);
  ASSERT_NE(file, nullptr);
  const std::string full(3 << 20, 'q');
  ASSERT_TRUE(file->write({}, bytes_of(full)));
  ASSERT_TRUE(file->zero(FileOffset{5}, (2 << 20) + 3));
  std::string expected = full;
  std::fill_n(expected.begin() + 5, (2 << 20) + 3, '\0');
  EXPECT_TRUE(content(*file) == expected);
  ::unlink(name.c_str());
}

TEST_F(PosixFileTest, ReadOnlyFilesRefuseEveryChange) {
  const auto file = open(write("a", "abc"), false);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->write({}, bytes_of("x")).error().id(), "io.read_only");
  EXPECT_EQ(file->resize(0).error().id(), "io.read_only");
  EXPECT_EQ(file->zero({}, 1).error().id(), "io.read_only");
  EXPECT_EQ(file->punch({}, 1).error().id(), "io.read_only");
  EXPECT_TRUE(file->flush());
}

TEST_F(PosixFileTest, ReadingLeavesTheAccessTime) {
  const std::string name = write("a", "abc");
  const timespec times[2] = {{1'000'000'000, 5}, {1'500'000'000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, name.c_str(), times, 0), 0);
  const auto file = open(name, false);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(content(*file), "abc");
  struct stat stat{};
  ASSERT_EQ(::stat(name.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_atim.tv_sec, 1'000'000'000);
  EXPECT_EQ(stat.st_mtim.tv_sec, 1'500'000'000);
}

TEST_F(PosixFileTest, NamesThatAreNoFiles) {
  EXPECT_EQ(open_id(""), "io.invalid_name");
  EXPECT_EQ(open_id(std::string("a\0b", 3)), "io.invalid_name");
  EXPECT_EQ(open_id(path(std::string(300, 'n'))), "io.invalid_name");
  EXPECT_EQ(open_id(path("missing")), "io.not_found");
  EXPECT_EQ(open_id(path("missing/a")), "io.path_not_found");
  EXPECT_EQ(open_id(write("plain", "x") + "/a"), "io.path_not_found");
  fs::create_symlink("loop", path("loop"));
  EXPECT_EQ(open_id(path("loop")), "io.invalid_name");
  fs::create_symlink("nowhere", path("dangling"));
  EXPECT_EQ(open_id(path("dangling")), "io.not_found");
}

TEST_F(PosixFileTest, WhatIsNoRegularFileIsRefusedWithoutWaiting) {
  EXPECT_EQ(open_id(folder_), "io.not_regular");
  EXPECT_EQ(open_id(folder_, true), "io.not_regular");
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(open_id(path("fifo")), "io.not_regular");
  EXPECT_EQ(open_id(path("fifo"), true), "io.not_regular");
  EXPECT_EQ(open_id("/dev/null"), "io.not_regular");
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path("socket").c_str());
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(open_id(path("socket")), "io.not_regular");
  ::close(listener);
}

TEST_F(PosixFileTest, MagicLinksAreNotFollowed) {
  const std::string name = write("a", "abc");
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(open_id("/proc/self/fd/" + std::to_string(fd)), "io.invalid_name");
  fs::create_symlink("/proc/self/fd/" + std::to_string(fd), path("via"));
  EXPECT_EQ(open_id(path("via")), "io.invalid_name");
  fs::create_symlink("a", path("ordinary"));
  EXPECT_EQ(open_id(path("ordinary")), "opened");
  ::close(fd);
}

TEST_F(PosixFileTest, AccessIsRefusedToWhoMayNotRead) {
  const std::string name = write("secret", "abc");
  ASSERT_EQ(::chmod(name.c_str(), 0), 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto file = open_posix_file(name, {.writable = false, .lock = true, .trace = {}});
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().id(), "io.access_denied");
  EXPECT_EQ(file.error().code(), 5U);
  EXPECT_EQ(file.error().os_errno(), EACCES);
}

TEST_F(PosixFileTest, SomeoneElsesFileOpensThoughItsAccessTimeCannotBeKept) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root to become someone else";
  const std::string name = write("a", "abc");
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const std::string outcome = open_id(name);
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(outcome, "opened");
}

TEST_F(PosixFileTest, CreateNeverOverwrites) {
  const ::mode_t old = ::umask(027);
  auto file = create_posix_file(path("new"));
  ::umask(old);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(fs::status(path("new")).permissions(), fs::perms(0640));
  EXPECT_TRUE((*file)->write({}, bytes_of("abc")));
  EXPECT_EQ(id_of(create_posix_file(path("new"))), "io.exists");
  EXPECT_EQ(id_of(create_posix_file(path("no/new"))), "io.path_not_found");
  EXPECT_TRUE(flush_parent_directory(path("new")));
  EXPECT_EQ(flush_parent_directory(path("no/new")).error().id(), "io.path_not_found");
}

TEST_F(PosixFileTest, RunningOutOfDescriptors) {
  const std::string name = write("a", "abc");
  EXPECT_EQ(open_id(path("missing")), "io.not_found");  // lets the fault ledger open its file first
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const int next = ::dup(0);
  ::close(next);
  const rlimit none{static_cast<rlim_t>(next), old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::string outcome = open_id(name);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_EQ(outcome, "io.too_many_open_files");
}

TEST_F(PosixFileTest, FilesHaveALargestSize) {
  const auto file = open(write("a", "abc"), true);
  ASSERT_NE(file, nullptr);
  const Status far = file->write(FileOffset{~std::uint64_t{0} - 1}, bytes_of("xyz"));
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().id(), "io.too_large");
  EXPECT_EQ(far.error().code(), 665U);
  EXPECT_EQ(file->resize(~std::uint64_t{0}).error().id(), "io.too_large");
}

TEST_F(PosixFileTest, AFullFileSystem) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root to mount a small file system";
  const std::string mount = path("small");
  fs::create_directory(mount);
  if (::mount("none", mount.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "SKIPPED: tmpfs cannot be mounted";
  {
    const auto file = create_posix_file(mount + "/a");
    ASSERT_TRUE(file);
    const std::string much(1 << 20, 'x');
    const Status written = (*file)->write({}, bytes_of(much));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().id(), "io.disk_full");
    EXPECT_EQ(written.error().code(), 112U);
  }
  ASSERT_EQ(::mount("none", mount.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_EQ(open_id(mount + "/a", true), "io.read_only");
  EXPECT_EQ(open_id(mount + "/a"), "opened");
  EXPECT_EQ(::umount(mount.c_str()), 0);
}

TEST_F(PosixFileTest, AFailingReadSaysSo) {
  // The first page of a process's own memory is never mapped: reading it is an input/output error.
  const auto file = open_posix_file("/proc/self/mem", {.writable = false, .lock = false, .trace = {}});
  if (!file) GTEST_SKIP() << "SKIPPED: " << file.error().message();
  std::byte one[1];
  const auto got = (*file)->read({}, one);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().id(), "io.device");
  EXPECT_EQ(got.error().code(), 1117U);
}

TEST_F(PosixFileTest, AShortFileFailsAnExactRead) {
  const auto file = open(write("a", "abc"), false);
  ASSERT_NE(file, nullptr);
  std::byte four[4];
  const Status read = read_exactly(*file, {}, four);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().id(), "io.short_read");
}

TEST_F(PosixFileTest, BlockDevicesOnlyWhenAskedFor) {
  const testing::LoopDevice device(write("image", std::string(1 << 20, 'd')));
  if (!device) GTEST_SKIP() << testing::LoopDevice::kWhyNot;
  EXPECT_EQ(open_id(device.path()), "io.not_regular");
  const PosixOpen writing{.writable = true, .lock = true, .allow_block_device = true, .trace = {}};
  const auto file = open_posix_file(device.path(), writing);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(*(*file)->size(), 1U << 20);
  EXPECT_TRUE((*file)->zero(FileOffset{512}, 700));  // unaligned for the device: falls back to writing
  EXPECT_TRUE((*file)->punch(FileOffset{4096}, 4096));
  std::array<char, 4> read{};
  EXPECT_TRUE(read_exactly(**file, FileOffset{1210}, std::as_writable_bytes(std::span(read))));
  EXPECT_EQ(std::string(read.data(), 4), std::string("\0\0dd", 4));
  EXPECT_TRUE(read_exactly(**file, FileOffset{8190}, std::as_writable_bytes(std::span(read))));
  EXPECT_EQ(std::string(read.data(), 4), std::string("\0\0dd", 4));
  EXPECT_NE((*file)->identity()->device, 0U);
  // Its writer has it for himself, as who mounts it does.
  const UniqueFd claim(::open(device.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
  EXPECT_FALSE(claim);
  EXPECT_EQ(errno, EBUSY);
}

TEST_F(PosixFileTest, ADeviceInUseIsNotWritten) {
  const testing::LoopDevice device(write("image", std::string(1 << 20, 'd')));
  if (!device) GTEST_SKIP() << testing::LoopDevice::kWhyNot;
  const UniqueFd claim(::open(device.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
  ASSERT_TRUE(claim);
  const auto file = open_posix_file(
      device.path(), {.writable = true, .lock = true, .allow_block_device = true, .trace = {}});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().id(), "io.locked");
  EXPECT_EQ(file.error().code(), 32U);
}

TEST_F(PosixFileTest, IdentityFollowsTheFileNotTheName) {
  const auto a = open(write("a", "abc"), false);
  fs::create_hard_link(path("a"), path("b"));
  const auto b = open(path("b"), false);
  const auto c = open(write("c", "abc"), false);
  EXPECT_EQ(*a->identity(), *b->identity());
  EXPECT_NE(*a->identity(), *c->identity());
}

}  // namespace
}  // namespace vdisk
