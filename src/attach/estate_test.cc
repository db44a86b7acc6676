// SPDX-License-Identifier: Apache-2.0
#include "attach/estate.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "attach/companion.h"
#include "attach/faults.h"
#include "attach/message.h"

namespace vdisk::attach {
namespace {

UniqueFd file_with(std::string_view text) {
  UniqueFd fd(::memfd_create("estate", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return fd;
}

std::string text_of(const UniqueFd& fd) {
  std::array<char, 64> buffer{};
  const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), 0);
  return got < 0 ? "not open" : std::string(buffer.data(), static_cast<std::size_t>(got));
}

class EstateTest : public ::testing::Test {
 protected:
  EstateTest() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
    ours_ = UniqueFd(pair[0]);
    theirs_ = UniqueFd(pair[1]);
  }
  UniqueFd ours_, theirs_;
};

TEST_F(EstateTest, TextAndFilesArrive) {
  Estate estate;
  estate.fields.add("path", "/a=b\n");
  estate.add("first", file_with("1").get());
  estate.add("absent", -1);
  estate.add("second", file_with("2").get());
  estate.add("first", file_with("3").get());
  ASSERT_TRUE(estate.send(ours_.get()));
  auto got = Estate::receive(theirs_.get(), 1000);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->fields.text("path"), "/a=b\n");
  EXPECT_FALSE(got->take("absent"));
  EXPECT_EQ(text_of(got->take("second")), "2");
  const auto firsts = got->take_all("first");
  ASSERT_EQ(firsts.size(), 2U);
  EXPECT_EQ(text_of(firsts[0]), "1");
  EXPECT_EQ(text_of(firsts[1]), "3");
  EXPECT_NE(::fcntl(firsts[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(got->take("first"));
}

// A chain of 256 files has more locks than the kernel passes in one message.
TEST_F(EstateTest, MoreFilesThanOneMessageTakes) {
  const UniqueFd file = file_with("all the same");
  Estate estate;
  for (int i = 0; i < 300; ++i) estate.add("file", file.get());
  std::thread sender([&] { EXPECT_TRUE(estate.copy().send(ours_.get())); });
  auto got = Estate::receive(theirs_.get(), 10'000);
  sender.join();
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->take_all("file").size(), 300U);
}

TEST_F(EstateTest, MissingFilesAreAFailure) {
  Fields claims;
  claims.add("descriptor", "file");
  ASSERT_TRUE(send_message(ours_.get(), claims));
  ours_.reset();
  const auto got = Estate::receive(theirs_.get(), 1000);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().id(), faults::kForeignAnswer.id);
}

TEST_F(EstateTest, OtherMessagesHaveNoFiles) {
  Fields message;
  message.add("release", true);
  ASSERT_TRUE(send_message(ours_.get(), message));
  const auto got = Estate::receive(theirs_.get(), 1000);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(got->fields.has("release"));
}

TEST(Companion, OneThatIsMissingIsAFailure) {
  Estate estate;
  estate.fields.add("companion", std::uint64_t{1});
  const auto companion = Companion::inherit(estate);
  ASSERT_FALSE(companion);
  EXPECT_EQ(companion.error().id(), faults::kForeignAnswer.id);
}

TEST(Companion, GivesBackWhatItWasLeftWith) {
  auto companion = start_idle_companion("image");
  ASSERT_TRUE(companion) << companion.error().message();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd reading(pipe[0]);
  UniqueFd writing(pipe[1]);
  Estate estate;
  estate.fields.add("estate", "of this test");
  estate.add("pipe", writing.get());
  companion->entrust(estate);
  estate = {};
  writing.reset();
  ASSERT_TRUE(companion->release());
  char byte = 0;
  EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "nobody has the other end any more";
  ::shutdown(companion->socket.get(), SHUT_WR);
  EXPECT_TRUE(await_companion(*companion));
}

TEST(Companion, DiesOfNothingElse) {
  auto companion = start_idle_companion("image");
  ASSERT_TRUE(companion) << companion.error().message();
  ::kill(companion->process, SIGKILL);
  const Status ended = await_companion(*companion);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().id(), faults::kServerDied.id);
}

TEST(RestartLimit, EndsARowOfDeaths) {
  RestartLimit limit;
  int allowed = 0;
  while (allowed < 1000 && limit.allows_another()) ++allowed;
  EXPECT_EQ(allowed, 120);
}

}  // namespace
}  // namespace vdisk::attach
