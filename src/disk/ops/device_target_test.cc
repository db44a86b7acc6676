// SPDX-License-Identifier: Apache-2.0
//
// Conversions from and to block devices: loop devices over files of the test.
#include "disk/ops/device_target.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <vdisk/operations.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/unique_fd.h"
#include "testing/loop_device.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using Bytes = std::vector<std::byte>;
using testing::LoopDevice;

/// Half of it data, in stretches of odd lengths of sectors.
Bytes pattern(std::uint64_t size, unsigned seed) {
  Bytes bytes(size);
  std::mt19937 random(seed);
  for (std::uint64_t at = 0; at < size;) {
    const std::uint64_t length = std::min<std::uint64_t>(size - at, (1 + random() % 300) * 512);
    if (random() % 2 == 0) {
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), length,
                  static_cast<std::byte>(1 + random() % 255));
    }
    at += length;
  }
  return bytes;
}

class DeviceTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }

  Disk open(const std::string& image, std::optional<FormatId> format = std::nullopt) {
    OpenOptions options;
    options.format = format;
    auto disk = Disk::open(image, options);
    if (!disk) {
      ADD_FAILURE() << disk.error().message();
      std::abort();
    }
    return *std::move(disk);
  }
  Disk raw(const std::string& name, const Bytes& bytes) {
    return open(folder_.save(name, bytes), FormatId::kRaw);
  }
  static Bytes content(const Disk& disk) {
    Bytes bytes(disk.geometry().virtual_size_bytes);
    EXPECT_TRUE(disk.read({0}, bytes));
    return bytes;
  }
  /// A file whose bytes were something else before.
  std::string backing(const std::string& name, std::uint64_t size) {
    return folder_.save(name, Bytes(size, std::byte{0xCD}));
  }
  Status to_device(const Disk& source, const std::string& device, ConvertOptions options = {}) {
    options.device = true;
    OperationControl control;
    control.trace = [this](TraceLevel, std::string_view text) { remarks_ += text; };
    return convert(source, device, options, control);
  }

  testing::TempFolder folder_;
  std::string remarks_;
};

TEST_F(DeviceTest, TakesTheBytesOfADiskAndLeavesWhatIsBehindIt) {
  const Bytes bytes = pattern(6 * kMiB + 512, 1);
  const Disk source = raw("source.raw", bytes);
  ASSERT_TRUE(convert(source, path("source.vhdx"), {}));
  for (const std::uint32_t sector : {512U, 4096U}) {
    for (const unsigned jobs : {1U, 4U}) {
      SCOPED_TRACE(sector);
      const LoopDevice device(backing("backing", 8 * kMiB), sector);
      if (!device) GTEST_SKIP() << LoopDevice::kWhyNot;
      remarks_.clear();
      ConvertOptions options;
      options.jobs = jobs;
      const Status done = to_device(open(path("source.vhdx")), device.path(), options);
      ASSERT_TRUE(done) << done.error().message();
      EXPECT_NE(remarks_.find("its last 2096640 bytes are as they were"), std::string::npos) << remarks_;
      const Bytes shown = content(open(device.path(), FormatId::kRaw));
      ASSERT_EQ(shown.size(), 8 * kMiB);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), shown.begin())) << "zeros cleared what was there";
      EXPECT_TRUE(std::all_of(shown.begin() + static_cast<std::ptrdiff_t>(bytes.size()), shown.end(),
                              [](std::byte b) { return b == std::byte{0xCD}; }));
    }
  }
}

TEST_F(DeviceTest, IsASourceWithItsOwnSectors) {
  for (const std::uint32_t sector : {512U, 4096U}) {
    SCOPED_TRACE(sector);
    const Bytes bytes = pattern(5 * kMiB, 2);
    const LoopDevice device(folder_.save("backing", bytes), sector);
    if (!device) GTEST_SKIP() << LoopDevice::kWhyNot;
    const Disk source = open(device.path(), FormatId::kRaw);
    const std::string image = path("out" + std::to_string(sector) + ".vhdx");
    ASSERT_TRUE(convert(source, image, {}));
    const Disk made = open(image);
    EXPECT_EQ(made.geometry().logical_sector_bytes, sector);
    EXPECT_EQ(content(made), bytes);
  }
}

TEST_F(DeviceTest, IsNeverTakenWithoutAWordAndNeverWhenItIsWrong) {
  const Disk source = raw("source.raw", pattern(4 * kMiB, 3));
  const LoopDevice device(backing("backing", 4 * kMiB), 512);
  if (!device) GTEST_SKIP() << LoopDevice::kWhyNot;
  const LoopDevice small(backing("small", 3 * kMiB), 512);
  ASSERT_TRUE(small);
  const auto refusal = [](const Status& status, Win32Code code) {
    EXPECT_FALSE(status);
    if (status) return std::string();
    EXPECT_EQ(status.error().code(), code) << status.error().message();
    return std::string(status.error().id());
  };
  ConvertOptions as_raw;
  as_raw.target.format = FormatId::kRaw;
  EXPECT_EQ(refusal(convert(source, device.path(), as_raw), 80), "io.exists");
  EXPECT_EQ(refusal(create(device.path(), {.format = FormatId::kRaw, .virtual_size_bytes = kMiB}), 80),
            "io.exists");
  ConvertOptions as_vhd;
  as_vhd.target.format = FormatId::kVhd;
  EXPECT_EQ(refusal(to_device(source, device.path(), as_vhd), 87), "convert.device.kind");
  ConvertOptions azure;
  azure.azure = true;
  EXPECT_EQ(refusal(to_device(source, device.path(), azure), 87), "convert.device.kind");
  EXPECT_EQ(refusal(to_device(source, small.path()), 112), "convert.device.small");
  {
    const UniqueFd claim(::open(device.path().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    ASSERT_TRUE(claim);
    EXPECT_EQ(refusal(to_device(source, device.path()), 32), "io.locked");
  }
  EXPECT_EQ(refusal(to_device(open(device.path(), FormatId::kRaw), device.path()), 32), "io.locked")
      << "onto itself";
  for (const LoopDevice* untouched : {&device, &small}) {
    for (const std::byte b : content(open(untouched->path(), FormatId::kRaw))) ASSERT_EQ(b, std::byte{0xCD});
  }
  // A file is no device, whatever the caller would allow.
  EXPECT_EQ(refusal(to_device(source, path("small"), as_raw), 80), "io.exists");
}

TEST_F(DeviceTest, CancelledItTellsSoAndTheNextTryIsWhole) {
  const Bytes bytes = pattern(24 * kMiB, 4);
  const Disk source = raw("source.raw", bytes);
  const LoopDevice device(backing("backing", bytes.size()), 512);
  if (!device) GTEST_SKIP() << LoopDevice::kWhyNot;
  OperationControl control;
  control.progress = [&](const Progress&) { control.cancellation.cancel(); };
  ConvertOptions options;
  options.device = true;
  const Status cancelled = convert(source, device.path(), options, control);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), 995U);
  ASSERT_TRUE(to_device(source, device.path()));
  EXPECT_EQ(content(open(device.path(), FormatId::kRaw)), bytes);
}

TEST_F(DeviceTest, WritesLikeARawFile) {
  const LoopDevice device(backing("backing", kMiB), 4096);
  if (!device) GTEST_SKIP() << LoopDevice::kWhyNot;
  OpenOptions options;
  options.format = FormatId::kRaw;
  options.writable = true;
  auto disk = Disk::open(device.path(), options);
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ(disk->write({512}, Bytes(512)).error().id(), "disk.unaligned");
  ASSERT_TRUE(disk->write({8192}, Bytes(8192, std::byte{1})));
  ASSERT_TRUE(disk->write_zeroes({{12288}, 4096}));
  ASSERT_TRUE(disk->trim({{0}, 8192}));
  ASSERT_TRUE(disk->flush());
  const Bytes shown = content(*disk);
  EXPECT_EQ(shown[0], std::byte{0});
  EXPECT_EQ(shown[8192], std::byte{1});
  EXPECT_EQ(shown[12288], std::byte{0});
  EXPECT_EQ(shown[16384], std::byte{0xCD});
  EXPECT_TRUE(disk->close());
}

}  // namespace
}  // namespace vdisk
