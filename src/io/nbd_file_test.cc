// SPDX-License-Identifier: Apache-2.0
//
// What a script cannot show of a file behind an NBD server: a server that says nothing, and the map of holes.
#include "io/nbd_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/unique_fd.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using namespace std::chrono_literals;

/// nbdkit's memory plugin; killed in the end.
class MemoryServer {
 public:
  MemoryServer() {
    std::string socket = folder_.path("s");
    std::vector<std::string> words = {"nbdkit", "-f", "-U", socket, "memory", "4M"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    if (::posix_spawnp(&pid_, "nbdkit", nullptr, nullptr, arguments.data(), environ) != 0) pid_ = -1;
    for (int i = 0; pid_ > 0 && i < 5000 && !listens(socket); ++i) std::this_thread::sleep_for(2ms);
  }
  ~MemoryServer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  bool runs() const { return pid_ > 0; }
  void signal(int number) const {
    ::kill(pid_, number);
    // Its threads stop one after the other: until all have, one may answer.
    if (number == SIGSTOP) ::waitpid(pid_, nullptr, WUNTRACED);
  }
  std::string uri() const { return "nbd+unix:///?socket=" + folder_.path("s"); }

 private:
  /// A socket has its name a moment before anybody can call there.
  static bool listens(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
    const UniqueFd caller(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const void* const generic = &address;
    return ::connect(caller.get(), static_cast<const sockaddr*>(generic), sizeof address) == 0;
  }

  const testing::TempFolder folder_;
  pid_t pid_ = -1;
};

TEST(NbdFile, KnowsItsUris) {
  for (const char* uri :
       {"nbd://host", "nbds://host/x", "nbd+unix:///?socket=s", "nbds+unix:///e?socket=s"}) {
    EXPECT_TRUE(is_nbd_uri(uri)) << uri;
  }
  for (const char* path : {"nbd:", "nbd:/host", "/nbd://host", "http://host", "nbd", "", "NBD://host"}) {
    EXPECT_FALSE(is_nbd_uri(path)) << path;
  }
}

TEST(NbdFile, BehavesAsAFile) {
  const MemoryServer server;
  if (!server.runs()) GTEST_SKIP() << "nbdkit is not installed";
  auto opened = open_nbd_file(server.uri(), {.writable = true});
  ASSERT_TRUE(opened) << opened.error().message();
  File& file = **opened;
  EXPECT_EQ(*file.size(), 4 * kMiB);
  EXPECT_EQ(file.fd(), -1);
  EXPECT_TRUE(file.writable());
  const std::vector<std::byte> data(3 * kMiB, std::byte{7});
  ASSERT_TRUE(file.write({64 * kKiB}, data));
  std::vector<std::byte> bytes(4 * kMiB);
  EXPECT_EQ(*file.read({0}, bytes), 4 * kMiB);
  EXPECT_EQ(bytes[64 * kKiB - 1], std::byte{0});
  EXPECT_TRUE(std::equal(data.begin(), data.end(), bytes.begin() + 64 * kKiB));
  EXPECT_EQ(*file.read({4 * kMiB - 10}, bytes), 10U);
  EXPECT_EQ(*file.read({4 * kMiB}, bytes), 0U);
  EXPECT_EQ(file.next_data({0})->bytes, 64 * kKiB);
  EXPECT_EQ(file.next_data({kMiB})->bytes, kMiB);
  EXPECT_EQ(file.next_hole({kMiB})->bytes, 3 * kMiB + 64 * kKiB);
  EXPECT_EQ(file.next_data({3 * kMiB + 64 * kKiB})->bytes, 4 * kMiB);
  EXPECT_EQ(file.next_hole({9 * kMiB})->bytes, 4 * kMiB);
  EXPECT_TRUE(file.zero({kMiB}, 64 * kKiB));
  EXPECT_TRUE(file.punch({2 * kMiB}, 64 * kKiB));
  EXPECT_TRUE(file.punch({9 * kMiB}, 1));
  EXPECT_EQ(file.next_hole({kMiB + 1})->bytes, kMiB + 1) << "asked anew after a change";
  EXPECT_EQ(file.next_data({kMiB})->bytes, kMiB + 64 * kKiB);
  EXPECT_TRUE(file.flush());
  EXPECT_TRUE(file.resize(4 * kMiB));
  EXPECT_EQ(file.resize(5 * kMiB).error().id(), "io.nbd.fixed_size");
  EXPECT_EQ(file.resize(0).error().code(), 112U);
  EXPECT_EQ(file.write({4 * kMiB - 1}, std::span(data).first(2)).error().id(), "io.nbd.fixed_size");

  const auto second = open_nbd_file(server.uri(), {});
  ASSERT_TRUE(second);
  EXPECT_NE(*(*second)->identity(), *file.identity());
  EXPECT_EQ((*second)->write({0}, data).error().id(), "io.read_only");
  EXPECT_EQ((*second)->zero({0}, 1).error().id(), "io.read_only");
}

TEST(NbdFile, ManyThreadsShareFewConnections) {
  const MemoryServer server;
  if (!server.runs()) GTEST_SKIP() << "nbdkit is not installed";
  auto file = open_nbd_file(server.uri(), {.writable = true, .connections = 2});
  ASSERT_TRUE(file) << file.error().message();
  std::vector<std::jthread> threads;
  for (unsigned thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      std::vector<std::byte> bytes(4096);
      for (unsigned i = 0; i < 50; ++i) {
        const std::vector<std::byte> own(4096, std::byte(thread * 40 + i % 40));
        const FileOffset at{(thread * 100 + i) * 4096};
        EXPECT_TRUE((*file)->write(at, own));
        EXPECT_EQ(*(*file)->read(at, bytes), bytes.size());
        EXPECT_TRUE(bytes == own);
      }
    });
  }
}

TEST(NbdFile, AServerThatFallsSilentIsGivenUp) {
  const MemoryServer server;
  if (!server.runs()) GTEST_SKIP() << "nbdkit is not installed";
  auto file = open_nbd_file(server.uri(), {.patience = 200ms});
  ASSERT_TRUE(file) << file.error().message();
  server.signal(SIGSTOP);
  std::vector<std::byte> bytes(512);
  const auto read = (*file)->read({0}, bytes);
  server.signal(SIGCONT);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().id(), "io.nbd.lost");
  EXPECT_NE(read.error().message().find("no answer for 200 ms"), std::string::npos);
  EXPECT_EQ((*file)->read({0}, bytes).error().id(), "io.nbd.lost") << "what was not answered may be lost";
}

TEST(NbdFile, AServerThatNeverSpeaksIsGivenUp) {
  const testing::TempFolder folder;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = folder.path("s");
  ASSERT_LT(path.size(), sizeof name.sun_path);
  std::memcpy(name.sun_path, path.data(), path.size());
  const UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listening.get(), static_cast<sockaddr*>(static_cast<void*>(&name)), sizeof name), 0);
  ASSERT_EQ(::listen(listening.get(), 4), 0);
  const auto file = open_nbd_file("nbd+unix:///?socket=" + path, {.patience = 200ms});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().id(), "io.nbd.connect");
  EXPECT_EQ(open_nbd_file("nbd://no host/", {}).error().id(), "io.nbd.connect");
}

}  // namespace
}  // namespace vdisk
