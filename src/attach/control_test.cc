// SPDX-License-Identifier: Apache-2.0
#include "attach/control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "attach/faults.h"
#include "attach/healing.h"
#include "attach/message.h"
#include "testing/temp_folder.h"

namespace vdisk::attach {
namespace {

class Control : public ::testing::Test {
 protected:
  Control() {
    options_.folder = folder_.path("run");
    record_.image_path = "/disk.vhdx";
    record_.device_node = "/dev/null";
    record_.image = {1, 2};
  }
  std::string path(const std::string& suffix = "") const {
    return *options_.folder + "/1-2.attachment" + suffix;
  }

  testing::TempFolder folder_;
  RegistryOptions options_;
  AttachmentRecord record_;
};

TEST_F(Control, AClientReachesTheServerOfARecord) {
  auto published = publish(record_, options_);
  ASSERT_TRUE(published);
  const auto listening = listen_beside(*published);
  ASSERT_TRUE(listening);
  struct stat status{};
  ASSERT_EQ(::lstat(path(".sock").c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600U);

  const auto records = all_records(options_);
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 1U);
  EXPECT_TRUE(records->front().alive);
  EXPECT_EQ(records->front().record, record_);
  pid_t server = 0;
  const auto client = connect_control(records->front(), server);
  ASSERT_TRUE(client);
  EXPECT_EQ(server, ::getpid());
  const UniqueFd peer = accept_control(listening->get());
  ASSERT_TRUE(peer);
  Fields fields;
  fields.add("command", kDetachCommand);
  EXPECT_TRUE(send_message(client->get(), fields));
  EXPECT_EQ(receive_message(peer.get(), -1)->text("command"), kDetachCommand);

  published->withdraw();
  EXPECT_FALSE(all_records(options_)->size());
  EXPECT_NE(::lstat(path(".sock").c_str(), &status), 0) << "the socket goes with the record";
}

TEST_F(Control, WhatLiesInTheSocketsPlaceIsReplaced) {
  const auto published = publish(record_, options_);
  ASSERT_TRUE(published);
  const std::string victim = folder_.path("victim");
  UniqueFd(::open(victim.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::symlink(victim.c_str(), path(".sock").c_str()), 0);
  ASSERT_TRUE(listen_beside(*published));
  struct stat status{};
  ASSERT_EQ(::lstat(path(".sock").c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  ASSERT_EQ(::stat(victim.c_str(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
}

TEST_F(Control, AServerThatDoesNotListenIsTold) {
  const auto published = publish(record_, options_);
  ASSERT_TRUE(published);
  pid_t server = 0;
  const auto client = connect_control(all_records(options_)->front(), server);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().id(), faults::kServerDied.id);
}

TEST_F(Control, StrangersAreNotHeard) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be a stranger to itself";
  const auto published = publish(record_, options_);
  const auto listening = listen_beside(*published);
  ASSERT_TRUE(listening);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(options_.folder->c_str(), 0755), 0);
  const FoundRecord found = all_records(options_)->front();
  const auto as_stranger = [&found] {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setresuid(65534, 65534, 65534) != 0) ::_exit(9);
      pid_t server = 0;
      const auto client = connect_control(found, server);
      ::_exit(client ? 0 : static_cast<int>(client.error().code()));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(as_stranger(), 5) << "0600";
  // Even where the file's mode would let him, the server looks who he is.
  ASSERT_EQ(::chmod(path(".sock").c_str(), 0666), 0);
  EXPECT_EQ(as_stranger(), 0);
  EXPECT_FALSE(accept_control(listening->get()));
}

// A dead record whose device is no loop device of ours (any more) is removed, with its socket; garbage is
// passed over.
TEST_F(Control, HealingRemovesTheDead) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto published = publish(record_, options_);
    const auto listening = published ? listen_beside(*published) : std::unexpected(published.error());
    ::_exit(listening ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  ASSERT_EQ(::access(path(".sock").c_str(), F_OK), 0);
  const UniqueFd garbage(
      ::open((*options_.folder + "/3-4.attachment").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::symlink("/etc/passwd", (*options_.folder + "/5-6.attachment").c_str()), 0);
  AttachmentRecord other = record_;
  other.image = {7, 8};
  const auto living = publish(other, options_);
  ASSERT_TRUE(living);

  const auto healed = heal(options_);
  ASSERT_TRUE(healed);
  ASSERT_EQ(healed->size(), 1U);
  EXPECT_EQ(healed->front().record.image, other.image);
  EXPECT_NE(::access(path().c_str(), F_OK), 0);
  EXPECT_NE(::access(path(".sock").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace vdisk::attach
