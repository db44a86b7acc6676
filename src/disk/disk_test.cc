// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <stdlib.h>
#include <vdisk/disk.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "disk/fault_catalogue.h"

namespace vdisk {
namespace {

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vdisk_disk_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::string folder_;
};

TEST_F(DiskTest, RawFileReadsAsItIs) {
  std::string content(4096, 'a');
  content[1000] = 'b';
  const std::string path = write("disk.img", content);
  OpenOptions options;
  options.format = FormatId::kRaw;
  const auto disk = Disk::open(path, options);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ(disk->geometry().virtual_size_bytes, 4096U);
  EXPECT_EQ(disk->format(), FormatId::kRaw);
  EXPECT_EQ(disk->layer_count(), 1U);
  std::string got(3, 'x');
  ASSERT_TRUE(disk->read(DiskOffset{999}, std::as_writable_bytes(std::span(got))));
  EXPECT_EQ(got, "aba");
}

}  // namespace
}  // namespace vdisk
