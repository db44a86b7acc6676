// SPDX-License-Identifier: Apache-2.0
//
// A server is killed with requests under way, and another one takes its place. This process holds the device,
// as a keeper does; servers and writers are processes of their own, so that this one never waits for itself.
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "serve/fuse/fuse_test_support.h"

namespace vdisk::serve {
namespace {

using vdisk::testing::TempFolder;

constexpr std::uint64_t kDiskBytes = 16 * kMiB;
constexpr int kKills = 8;
constexpr std::size_t kPieceBytes = 64 * kKiB;

struct Pieces {
  alignas(4096) std::array<std::byte, kPieceBytes> out, in;
};

/// Writes over all of the disk again and again, each piece with a number of its own, and reads back what was
/// acknowledged. 0 when everything was as it should be.
int write_and_read(int file, int rounds) {
  static Pieces pieces;
  for (int round = 1; round <= rounds; ++round) {
    for (std::uint64_t at = 0; at < kDiskBytes; at += kPieceBytes) {
      const std::uint64_t mark = at * 1000 + static_cast<std::uint64_t>(round);
      for (std::size_t i = 0; i < kPieceBytes; i += sizeof mark)
        std::memcpy(&pieces.out[i], &mark, sizeof mark);
      if (::pwrite(file, pieces.out.data(), kPieceBytes, static_cast<off_t>(at)) != kPieceBytes) return 1;
      const std::uint64_t back = at >= 8 * kPieceBytes ? at - 8 * kPieceBytes : at;
      const std::uint64_t expected = back * 1000 + static_cast<std::uint64_t>(round);
      if (::pread(file, pieces.in.data(), kPieceBytes, static_cast<off_t>(back)) != kPieceBytes) return 2;
      for (std::size_t i = 0; i < kPieceBytes; i += sizeof expected) {
        if (std::memcmp(&pieces.in[i], &expected, sizeof expected) != 0) return 3;
      }
    }
  }
  return ::fsync(file) == 0 ? 0 : 4;
}

FuseServer* to_stop = nullptr;

class FuseResumeTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_FUSE();
    path_ = folder_.path("disk.vhdx");
    Disk disk = make_disk(path_, dynamic_disk(FormatId::kVhdx, kDiskBytes, kMiB));
    // Every block has its place already: a server that is killed loses no mapping.
    ASSERT_TRUE(disk.write({}, std::vector<std::byte>(kDiskBytes, std::byte{1})));
    ASSERT_TRUE(disk.close());
    auto connection = connect_hidden(false);
    ASSERT_TRUE(connection);
    connection_ = *std::move(connection);
  }
  void TearDown() override {
    if (server_ > 0) kill_server();
  }

  void start_server(bool resume) {
    server_ = ::fork();
    ASSERT_GE(server_, 0);
    if (server_ != 0) return;
    OpenOptions options;
    options.writable = true;
    options.direct_io = GetParam();
    auto disk = Disk::open(path_, options);
    if (!disk) ::_exit(1);
    FuseServerOptions how;
    how.resume = resume;
    FuseServer server(connection_.device.get(), {{"disk.raw", &*disk, {{}, kDiskBytes}, false}}, how);
    to_stop = &server;
    ::signal(SIGTERM, [](int) { to_stop->stop(); });
    ::_exit(server.run() && disk->close() ? 0 : 2);
  }
  void kill_server() {
    ASSERT_EQ(::kill(server_, SIGKILL), 0);
    ASSERT_EQ(::waitpid(server_, nullptr, 0), server_);
    server_ = -1;
  }

  TempFolder folder_;
  std::string path_;
  FuseConnection connection_;
  pid_t server_ = -1;
};

TEST_P(FuseResumeTest, AWriterNoticesNothingButPauses) {
  start_server(false);
  const pid_t writer = ::fork();
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    // Not opened above: a server that holds a file of its own folder waits for itself when it is killed.
    const UniqueFd file(::openat(connection_.mount.get(), "disk.raw", O_RDWR | O_DIRECT | O_CLOEXEC));
    ::_exit(file ? write_and_read(file.get(), 6) : 5);
  }
  int done = 0;
  for (int i = 0; i < kKills && done == 0; ++i) {
    ::usleep(60'000);
    kill_server();
    start_server(true);
    done = ::waitpid(writer, nullptr, WNOHANG | WNOWAIT);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);

  // The servers have inherited the mount, so that only a signal ends them.
  ASSERT_EQ(::kill(server_, SIGTERM), 0);
  ASSERT_EQ(::waitpid(server_, &status, 0), server_);
  server_ = -1;
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the last server closes the image";
  const auto report = check(path_, {}, false, {});
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->damaged());
}

INSTANTIATE_TEST_SUITE_P(PageCache, FuseResumeTest, ::testing::Bool(),
                         [](const auto& direct) { return direct.param ? "direct" : "cached"; });

TEST(FuseWithoutServer, IsAnErrorAtOnce) {
  SKIP_WITHOUT_FUSE();
  TempFolder folder;
  const std::string path = folder.path("disk.vhdx");
  {
    make_disk(path, dynamic_disk(FormatId::kVhdx, kDiskBytes));
  }
  auto connection = connect_hidden(false);
  ASSERT_TRUE(connection);
  const pid_t server = ::fork();
  ASSERT_GE(server, 0);
  if (server == 0) {
    const UniqueFd mount = std::move(connection->mount);
    auto disk = Disk::open(path);
    if (!disk) ::_exit(1);
    FuseServer fuse(connection->device.get(), {{"disk.raw", &*disk, {{}, kDiskBytes}, true}}, {});
    static_cast<void>(fuse.run());
    ::_exit(0);
  }
  const UniqueFd file(::openat(connection->mount.get(), "disk.raw", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(file) << errno_text(errno);
  connection->device.reset();  // nobody keeps the connection
  ASSERT_EQ(::kill(server, SIGKILL), 0);
  ASSERT_EQ(::waitpid(server, nullptr, 0), server);
  char byte = 0;
  EXPECT_EQ(::pread(file.get(), &byte, 1, 0), -1);
  EXPECT_TRUE(errno == ENOTCONN || errno == EIO) << errno_text(errno);
}

}  // namespace
}  // namespace vdisk::serve
