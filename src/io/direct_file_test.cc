// SPDX-License-Identifier: Apache-2.0
#include "io/direct_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "io/memory_file.h"
#include "io/posix_file.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::TempFolder;

/// Storage that accepts what the kernel accepts past the page cache, and nothing else.
class StrictFile final : public File {
 public:
  explicit StrictFile(std::uint32_t unit) : unit_(unit) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    EXPECT_TRUE(aligned(at, into.size(), into.data()));
    return memory_.read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override {
    EXPECT_TRUE(aligned(at, from.size(), from.data()));
    return memory_.write(at, from);
  }
  Status flush() override { return memory_.flush(); }
  Result<std::uint64_t> size() override { return memory_.size(); }
  Status resize(std::uint64_t size_bytes) override { return memory_.resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return memory_.zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return memory_.punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return memory_.next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return memory_.next_hole(from); }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return memory_.identity(); }
  const std::string& name() const noexcept override { return memory_.name(); }

 private:
  bool aligned(FileOffset at, std::size_t length, const std::byte* memory) const {
    return at.bytes % unit_ == 0 && length % unit_ == 0 && std::bit_cast<std::uintptr_t>(memory) % unit_ == 0;
  }
  const std::uint32_t unit_;
  MemoryFile memory_;
};

std::vector<std::byte> content_of(File& file) {
  std::vector<std::byte> content(*file.size());
  EXPECT_TRUE(read_exactly(file, {}, content));
  return content;
}

/// The same random changes to both; they must stay equal.
void compare(File& direct, File& model, unsigned seed) {
  std::mt19937 random(seed);
  for (int step = 0; step < 300; ++step) {
    const std::uint64_t size = *model.size();
    const std::uint64_t unit = random() % 2 == 0 ? 1 : random() % 2 == 0 ? 512 : 4096;
    const FileOffset at{round_down(random() % (size + 10'000), unit)};
    const std::uint64_t length = round_up(random() % (step % 10 == 0 ? 200'000 : 9'000), unit);
    switch (random() % 6) {
      case 0:
        ASSERT_TRUE(direct.zero(at, length));
        ASSERT_TRUE(model.zero(at, length));
        break;
      case 1:
        ASSERT_TRUE(direct.punch(at, length));
        ASSERT_TRUE(model.punch(at, length));
        break;
      case 2:
        if (random() % 4 == 0) {
          ASSERT_TRUE(direct.resize(at.bytes + length));
          ASSERT_TRUE(model.resize(at.bytes + length));
        }
        break;
      default: {
        std::vector<std::byte> bytes(length);
        std::ranges::generate(bytes, [&] { return static_cast<std::byte>(random()); });
        ASSERT_TRUE(direct.write(at, bytes));
        ASSERT_TRUE(model.write(at, bytes));
      }
    }
    ASSERT_EQ(*direct.size(), *model.size()) << step;
    std::vector<std::byte> got(1 + random() % 80'000), expected(got.size());
    const FileOffset look{random() % (*model.size() + 1)};
    ASSERT_EQ(*direct.read(look, got), *model.read(look, expected)) << step;
    ASSERT_EQ(got, expected) << step;
  }
  ASSERT_EQ(content_of(direct), content_of(model));
}

class DirectFileTest : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(DirectFileTest, IsAFileLikeAnyOther) {
  DirectFile direct(std::make_unique<StrictFile>(GetParam()), GetParam());
  MemoryFile model;
  compare(direct, model, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Units, DirectFileTest, ::testing::Values(512, 4096));

TEST(DirectFile, WorksOnThisHostsFileSystem) {
  TempFolder folder;
  {
    ASSERT_TRUE(create_posix_file(folder.path("file")));
  }
  std::string told;
  PosixOpen how;
  how.writable = true;
  how.direct = true;
  how.trace = [&told](TraceLevel, std::string_view text) { told = text; };
  auto direct = open_posix_file(folder.path("file"), how);
  ASSERT_TRUE(direct) << direct.error().message();
  const bool bypasses = (::fcntl((*direct)->fd(), F_GETFL) & O_DIRECT) != 0;
  EXPECT_EQ(bypasses, told.empty()) << told;
  EXPECT_EQ(bypasses, (*direct)->fd_unit_bytes() >= 512);
  MemoryFile model;
  compare(**direct, model, 3);
}

TEST(DirectFile, SaysWhereTheCacheCannotBeBypassed) {
  std::string told;
  PosixOpen how;
  how.direct = true;
  how.trace = [&told](TraceLevel, std::string_view text) { told = text; };
  const auto file = open_posix_file("/proc/self/status", how);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_NE(told.find("cannot bypass"), std::string::npos) << told;
}

}  // namespace
}  // namespace vdisk
