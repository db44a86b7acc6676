// SPDX-License-Identifier: Apache-2.0
#include "io/new_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "io/posix_file.h"

namespace vdisk {
namespace {

class NewFileTest : public ::testing::TestWithParam<NewFile::Method> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vdisk_new_file_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::size_t count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST_P(NewFileTest, AppearsWhenPublished) {
  {
    auto file = NewFile::create(path("a"), GetParam());
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE(file->file().write(FileOffset{0}, std::as_bytes(std::span("hello", 5))));
    EXPECT_FALSE(std::filesystem::exists(path("a")));
    const Status published = file->publish();
    ASSERT_TRUE(published) << published.error().message();
  }
  std::string content;
  std::ifstream(path("a")) >> content;
  EXPECT_EQ(content, "hello");
  EXPECT_EQ(count(), 1U);
}

TEST_P(NewFileTest, LeavesNothingWhenAbandoned) {
  ASSERT_TRUE(NewFile::create(path("a"), GetParam()));
  EXPECT_EQ(count(), 0U);
}

TEST_P(NewFileTest, NeverReplaces) {
  auto file = NewFile::create(path("a"), GetParam());
  ASSERT_TRUE(file);
  std::ofstream(path("a")) << "mine";  // someone was faster
  const Status published = file->publish();
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().id(), "io.exists");
  EXPECT_EQ(published.error().code(), 80U);
  std::string content;
  std::ifstream(path("a")) >> content;
  EXPECT_EQ(content, "mine");
  EXPECT_EQ(NewFile::create(path("a"), GetParam()).error().id(), "io.exists");
  std::filesystem::create_symlink("nowhere", path("link"));
  EXPECT_EQ(NewFile::create(path("link"), GetParam()).error().id(), "io.exists");
}

TEST_P(NewFileTest, ModeFollowsTheUmask) {
  const mode_t before = ::umask(027);
  auto file = NewFile::create(path("a"), GetParam());
  ::umask(before);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->publish());
  struct stat facts{};
  ASSERT_EQ(::stat(path("a").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0640U);
}

TEST_P(NewFileTest, IsLockedWhileItIsMade) {
  auto file = NewFile::create(path("a"), GetParam());
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->publish());
  EXPECT_EQ(open_posix_file(path("a"), {.writable = false, .trace = {}}).error().id(), "io.locked");
}

TEST_P(NewFileTest, NamesThatCannotBe) {
  EXPECT_EQ(NewFile::create("", GetParam()).error().id(), "io.invalid_name");
  EXPECT_EQ(NewFile::create(folder_ + "/", GetParam()).error().id(), "io.invalid_name");
  EXPECT_EQ(NewFile::create(path("no/a"), GetParam()).error().id(), "io.path_not_found");
  std::ofstream(path("file")) << "x";
  EXPECT_EQ(NewFile::create(path("file/a"), GetParam()).error().id(), "io.path_not_found");
  EXPECT_EQ(NewFile::create("/proc/a", GetParam()).error().id(), "io.path_not_found");
  EXPECT_FALSE(NewFile::create(path(std::string(300, 'x')), GetParam()));
  EXPECT_TRUE(NewFile::create(path(std::string(255, 'x')), GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Methods, NewFileTest,
                         ::testing::Values(NewFile::Method::kBest, NewFile::Method::kTemporaryName,
                                           NewFile::Method::kLink));

}  // namespace
}  // namespace vdisk
