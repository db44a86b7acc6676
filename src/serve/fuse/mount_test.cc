// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/mount.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>

#include "serve/fuse/fuse_test_support.h"

namespace vdisk::serve {
namespace {

using vdisk::testing::TempFolder;

class FuseMountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_FUSE();
    disk_.emplace(make_disk(folder_.path("disk.vhdx"), dynamic_disk(FormatId::kVhdx, 4 * kMiB)));
    place_ = folder_.path("place");
    ASSERT_EQ(::mkdir(place_.c_str(), 0755), 0);
  }
  std::vector<ServedFile> files() const { return {{"disk.raw", &*disk_, {{}, 4 * kMiB}, false}}; }

  TempFolder folder_;
  std::optional<Disk> disk_;
  std::string place_;
};

TEST_F(FuseMountTest, AFolderShowsTheDiskUntilItIsUnmounted) {
  auto connection = mount_at(place_, "disk.vhdx", false);
  ASSERT_TRUE(connection) << connection.error().message();
  FuseServer server(connection->device.get(), files(), {});
  std::thread thread([&] { EXPECT_TRUE(server.run()); });
  UniqueFd file(::open((place_ + "/disk.raw").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(file) << errno_text(errno);
  const auto busy = unmount(place_);
  EXPECT_EQ(busy ? "" : busy.error().id(), "fuse.mount_busy");
  file.reset();
  EXPECT_TRUE(unmount(place_));
  thread.join();
  const auto nothing = unmount(place_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().id(), "fuse.mount_point");
}

TEST_F(FuseMountTest, PlacesThatAreNoneAreRefused) {
  for (const std::string& place : {folder_.path("absent"), folder_.path("disk.vhdx")}) {
    const auto connection = mount_at(place, "disk.vhdx", false);
    ASSERT_FALSE(connection);
    EXPECT_EQ(connection.error().id(), "fuse.mount_point") << place;
  }
}

/// Somebody who is not root, until the end of the scope.
class AsNobody {
 public:
  AsNobody() : changed_(::setresuid(kNobody, kNobody, 0) == 0) {}
  ~AsNobody() {
    if (changed_) {
      EXPECT_EQ(::setresuid(0, 0, 0), 0);
    }
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const bool changed_;
};

TEST_F(FuseMountTest, UsersGetTheHelpersWordOrLearnWhatIsMissing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  if (::access("/usr/bin/fusermount3", X_OK) != 0) GTEST_SKIP() << "fusermount3 is not installed";
  // The folder is root's: its owner alone may mount there.
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  EXPECT_FALSE(unmount(place_));
  const std::string path = ::getenv("PATH");
  const AsNobody nobody;
  const auto refused = mount_at(place_, "disk.vhdx", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "fuse.mount_refused");
  EXPECT_NE(refused.error().message().find("fusermount3 says"), std::string::npos)
      << refused.error().message();
  EXPECT_FALSE(unmount(place_));

  ASSERT_EQ(::setenv("PATH", "/nonexistent", 1), 0);
  const auto missing = mount_at(place_, "disk.vhdx", false);
  const auto missing_too = unmount(place_);
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().id(), "fuse.unavailable");
  ASSERT_FALSE(missing_too);
  EXPECT_EQ(missing_too.error().id(), "fuse.unavailable");
}

}  // namespace
}  // namespace vdisk::serve
