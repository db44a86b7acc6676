// SPDX-License-Identifier: Apache-2.0
//
// A block device of one test's own, over a file.
#pragma once

#include <cstdint>
#include <string>

namespace vdisk::testing {

/// Attached by losetup(8) at construction, detached at destruction. Needs root and loop devices; a test that
/// has neither skips: `if (!device) GTEST_SKIP() << LoopDevice::kWhyNot`.
class LoopDevice {
 public:
  static constexpr const char* kWhyNot = "SKIPPED: needs root and loop devices (losetup)";

  explicit LoopDevice(const std::string& file, std::uint32_t sector_bytes = 512);
  ~LoopDevice();
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  explicit operator bool() const noexcept { return !path_.empty(); }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace vdisk::testing
