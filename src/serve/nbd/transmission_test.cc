// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/transmission.h"

#include <gtest/gtest.h>
#include <linux/nbd.h>
#include <sys/socket.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "base/checked.h"
#include "base/endian.h"
#include "base/unique_fd.h"
#include "testing/temp_folder.h"

namespace vdisk::serve::nbd {
namespace {

using vdisk::testing::TempFolder;

constexpr std::uint64_t kDiskBytes = 64 * kMiB;
constexpr std::uint16_t kWriteZeroes = 6;
constexpr std::uint16_t kFua = 1;

std::vector<std::byte> noise(std::size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> made(bytes);
  for (std::byte& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

struct Request {
  Be<std::uint32_t> magic = NBD_REQUEST_MAGIC;
  Be<std::uint16_t> flags = 0;
  Be<std::uint16_t> type = NBD_CMD_READ;
  Be<std::uint64_t> handle = 0;
  Be<std::uint64_t> from = 0;
  Be<std::uint32_t> length = 0;
};
struct Reply {
  Be<std::uint32_t> magic;
  Be<std::uint32_t> error;
  Be<std::uint64_t> handle;
};

/// A disk with a server, and a client as the kernel is one.
class TransmissionTest : public ::testing::Test {
 protected:
  void SetUp() override { start(/*read_only=*/false, {{}, kDiskBytes}); }
  void TearDown() override {
    if (server_) static_cast<void>(finish());
  }

  void start(bool read_only, DiskRange range) {
    const std::string path = folder_.path("disk.vhdx");
    if (!disk_) {
      CreateOptions options;
      options.format = FormatId::kVhdx;
      options.virtual_size_bytes = kDiskBytes;
      ASSERT_TRUE(create(path, options));
      OpenOptions open;
      open.writable = true;
      auto disk = Disk::open(path, open);
      ASSERT_TRUE(disk);
      disk_.emplace(*std::move(disk));
    }
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    client_ = UniqueFd(ends[0]);
    socket_ = UniqueFd(ends[1]);
    server_ = std::make_unique<Transmission>(socket_.get(), *disk_, range, read_only);
    thread_ = std::thread([this] { result_ = server_->run(); });
  }
  /// Ends the connection without a word.
  Status finish() {
    client_.reset();
    return wait();
  }
  Status wait() {
    thread_.join();
    server_.reset();
    return result_;
  }
  void restart(bool read_only, DiskRange range = {{}, kDiskBytes}) {
    static_cast<void>(finish());
    start(read_only, range);
  }

  void put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(sent, 0);
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
  }
  void get(std::span<std::byte> into) {
    ASSERT_EQ(::recv(client_.get(), into.data(), into.size(), MSG_WAITALL),
              static_cast<ssize_t>(into.size()));
  }
  Reply reply() {
    Reply reply;
    get(writable_bytes_of(reply));
    EXPECT_EQ(reply.magic.get(), NBD_REPLY_MAGIC);
    return reply;
  }
  /// The errno of what was asked.
  int ask(std::uint16_t type, std::uint64_t from, std::uint32_t length,
          std::span<const std::byte> payload = {}, std::uint16_t flags = 0) {
    Request request;
    request.type = type;
    request.flags = flags;
    request.handle = ++handle_;
    request.from = from;
    request.length = length;
    put(bytes_of(request));
    put(payload);
    const Reply answer = reply();
    EXPECT_EQ(answer.handle.get(), handle_);
    return static_cast<int>(answer.error.get());
  }
  int write(std::uint64_t from, std::span<const std::byte> bytes, std::uint16_t flags = 0) {
    return ask(NBD_CMD_WRITE, from, static_cast<std::uint32_t>(bytes.size()), bytes, flags);
  }
  std::vector<std::byte> read(std::uint64_t from, std::uint32_t length) {
    std::vector<std::byte> bytes(length);
    EXPECT_EQ(ask(NBD_CMD_READ, from, length), 0);
    get(bytes);
    return bytes;
  }
  static bool zero(std::span<const std::byte> bytes) {
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
  }

  TempFolder folder_;
  std::optional<Disk> disk_;
  UniqueFd client_;
  UniqueFd socket_;
  std::unique_ptr<Transmission> server_;
  std::thread thread_;
  Status result_;
  std::uint64_t handle_ = 0;
};

TEST_F(TransmissionTest, MovesPayloadOfAnySize) {
  for (const std::uint32_t bytes : {512U, 4096U, 128U << 10, 1U << 20, (1U << 20) + 512, 5U << 20}) {
    const auto content = noise(bytes, bytes);
    EXPECT_EQ(write(kMiB + 512, content, kFua), 0);
    EXPECT_EQ(read(kMiB + 512, bytes), content);
    std::vector<std::byte> there(bytes);
    ASSERT_TRUE(disk_->read({kMiB + 512}, there));
    EXPECT_EQ(there, content);
  }
}

TEST_F(TransmissionTest, ZerosTrimsAndFlushes) {
  const auto content = noise(8 * kMiB, 3);
  EXPECT_EQ(write(0, content), 0);
  EXPECT_EQ(ask(kWriteZeroes, kMiB, kMiB, {}, kFua), 0);
  EXPECT_EQ(ask(kWriteZeroes, 3 * kMiB, 512, {}, 2), 0);
  EXPECT_EQ(ask(NBD_CMD_TRIM, 4 * kMiB, 4 * kMiB), 0);
  EXPECT_EQ(ask(NBD_CMD_FLUSH, 0, 0), 0);
  EXPECT_TRUE(zero(read(kMiB, kMiB)));
  EXPECT_TRUE(zero(read(3 * kMiB, 512)));
  const auto kept = read(3 * kMiB + 512, 512);
  EXPECT_TRUE(std::ranges::equal(kept, std::span(content).subspan(3 * kMiB + 512, 512)));
}

TEST_F(TransmissionTest, AnswersInAnyOrderAndAtOnce) {
  std::map<std::uint64_t, std::vector<std::byte>> wanted;
  constexpr std::uint64_t kRequests = 60;
  for (std::uint64_t number = 0; number < kRequests; ++number) {
    Request request;
    request.type = NBD_CMD_WRITE;
    request.handle = number;
    request.from = number * kMiB;
    request.length = 4096;
    wanted[number] = noise(4096, static_cast<unsigned>(number));
    put(bytes_of(request));
    put(wanted[number]);
  }
  std::map<std::uint64_t, int> seen;
  for (std::uint64_t number = 0; number < kRequests; ++number) {
    const Reply answer = reply();
    EXPECT_EQ(answer.error.get(), 0U);
    ++seen[answer.handle.get()];
  }
  EXPECT_EQ(seen.size(), kRequests);
  for (const auto& [number, content] : wanted) EXPECT_EQ(read(number * kMiB, 4096), content);
}

TEST_F(TransmissionTest, RefusesWhatDoesNotFit) {
  const auto content = noise(4096, 1);
  EXPECT_EQ(write(kDiskBytes - 512, content), EINVAL);
  EXPECT_EQ(write(~std::uint64_t{0} - 100, content), EINVAL);
  EXPECT_EQ(write(kDiskBytes - kMiB, noise(2 * kMiB, 1)), EINVAL);
  EXPECT_EQ(ask(NBD_CMD_READ, kDiskBytes, 512), EINVAL);
  EXPECT_EQ(ask(NBD_CMD_READ, 0, 0), EINVAL);
  EXPECT_EQ(ask(NBD_CMD_TRIM, kDiskBytes - 512, 1024), EINVAL);
  EXPECT_EQ(ask(77, 0, 512), EINVAL);
  EXPECT_EQ(write(100, noise(512, 1)), EINVAL) << "no whole sectors";
  EXPECT_TRUE(zero(read(kDiskBytes - kMiB, kMiB))) << "and nothing was written";
}

TEST_F(TransmissionTest, ShowsARangeAlone) {
  restart(/*read_only=*/false, {{kMiB}, kMiB});
  const auto content = noise(512, 1);
  EXPECT_EQ(write(kMiB - 512, content), 0);
  EXPECT_EQ(write(kMiB, content), EINVAL);
  std::vector<std::byte> there(512);
  ASSERT_TRUE(disk_->read({2 * kMiB - 512}, there));
  EXPECT_EQ(there, content);
}

TEST_F(TransmissionTest, ReadOnlyChangesNothing) {
  restart(/*read_only=*/true);
  EXPECT_EQ(write(0, noise(512, 1)), EPERM);
  EXPECT_EQ(write(0, noise(2 * kMiB, 1)), EPERM);
  EXPECT_EQ(ask(NBD_CMD_TRIM, 0, 512), EPERM);
  EXPECT_EQ(ask(kWriteZeroes, 0, 512), EPERM);
  EXPECT_EQ(ask(NBD_CMD_FLUSH, 0, 0), 0);
  EXPECT_TRUE(zero(read(0, 4096)));
  EXPECT_EQ(transmission_flags(true) & NBD_FLAG_SEND_TRIM, 0U);
  EXPECT_NE(transmission_flags(true) & NBD_FLAG_READ_ONLY, 0U);
}

TEST_F(TransmissionTest, EndsWithAWord) {
  Request request;
  request.type = NBD_CMD_DISC;
  put(bytes_of(request));
  EXPECT_TRUE(wait());
}

TEST_F(TransmissionTest, EndsWhenItIsStopped) {
  EXPECT_EQ(write(0, noise(512, 1)), 0);
  server_->stop();
  EXPECT_TRUE(wait());
}

TEST_F(TransmissionTest, TellsALostConnection) {
  EXPECT_EQ(write(0, noise(512, 1)), 0);
  const Status lost = finish();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().id(), "nbd.connection_lost");
}

TEST_F(TransmissionTest, APartOfARequestIsNotCarriedOut) {
  Request request;
  request.type = NBD_CMD_WRITE;
  request.length = 4096;
  put(bytes_of(request));
  put(noise(4000, 1));
  const Status lost = finish();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().id(), "nbd.connection_lost");
  std::vector<std::byte> there(4096);
  ASSERT_TRUE(disk_->read({}, there));
  EXPECT_TRUE(zero(there));
}

TEST_F(TransmissionTest, EndsAtWhatIsNoRequest) {
  for (const bool huge : {false, true}) {
    Request request;
    if (huge) {
      request.length = (32U << 20) + 512;
    } else {
      request.magic = NBD_REPLY_MAGIC;
    }
    put(bytes_of(request));
    const Status ended = wait();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().id(), "nbd.bad_request");
    start(/*read_only=*/false, {{}, kDiskBytes});
  }
}

}  // namespace
}  // namespace vdisk::serve::nbd
