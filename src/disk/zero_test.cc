// SPDX-License-Identifier: Apache-2.0
//
// Zeros cost space only where something else was to be seen.
#include <gtest/gtest.h>
#include <vdisk/operations.h>

#include <array>

#include "base/checked.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

class ZeroTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    parent_ = folder_.path(std::string("parent.") + GetParam());
    child_ = folder_.path(std::string("child.") + GetParam());
    CreateOptions options;
    options.virtual_size_bytes = kBytes;
    ASSERT_TRUE(create(parent_, options));
    write(parent_, kDataAt);
    CreateOptions child;
    child.parent = parent_;
    ASSERT_TRUE(create(child_, child));
  }

  static constexpr std::uint64_t kBytes = 256 * kMiB;
  static constexpr std::uint64_t kDataAt = 100 * kMiB + 4096;

  void write(const std::string& path, std::uint64_t at) {
    auto disk = Disk::open(path, {.writable = true});
    ASSERT_TRUE(disk) << disk.error().message();
    std::array<std::byte, 8192> bytes;
    bytes.fill(std::byte{0x5A});
    ASSERT_TRUE(disk->write(DiskOffset{at}, bytes));
    ASSERT_TRUE(disk->close());
  }

  testing::TempFolder folder_;
  std::string parent_, child_;
};

TEST_P(ZeroTest, AChildTakesSpaceOnlyOverItsParentsData) {
  for (const ZeroSpace space : {ZeroSpace::kKeep, ZeroSpace::kFree}) {
    {
      auto disk = Disk::open(child_, {.writable = true});
      ASSERT_TRUE(disk) << disk.error().message();
      // Not whole blocks at either end: the format alone cannot do these.
      ASSERT_TRUE(disk->write_zeroes({DiskOffset{4096}, kBytes - 8192}, space));
      ASSERT_TRUE(disk->close());
    }
    auto again = Disk::open(child_, {});
    ASSERT_TRUE(again);
    std::array<std::byte, 8192> shown;
    ASSERT_TRUE(again->read(DiskOffset{kDataAt}, shown));
    for (const std::byte byte : shown) ASSERT_EQ(byte, std::byte{0});
    const auto info = again->info();
    ASSERT_TRUE(info);
    EXPECT_LE(info->allocated_bytes.value(), info->block_size_bytes.value());
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ZeroTest, ::testing::Values("vhd", "vhdx"),
                         [](const auto& format) { return std::string(format.param); });

}  // namespace
}  // namespace vdisk
