// SPDX-License-Identifier: Apache-2.0
#include "testing/loop_device.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace vdisk::testing {

LoopDevice::LoopDevice(const std::string& file, std::uint32_t sector_bytes) {
  if (::geteuid() != 0) return;
  FILE* said = ::popen(
      fmt::format("losetup --find --show --sector-size {} {} 2>/dev/null", sector_bytes, file).c_str(), "r");
  if (said == nullptr) return;
  char text[64] = "";
  if (std::fgets(text, sizeof text, said) != nullptr) path_.assign(text, std::strcspn(text, "\n"));
  ::pclose(said);
}

LoopDevice::~LoopDevice() {
  if (path_.empty()) return;
  if (std::system(("losetup --detach " + path_).c_str()) != 0) {
    fmt::print(stderr, "{} could not be detached\n", path_);
  }
}

}  // namespace vdisk::testing
