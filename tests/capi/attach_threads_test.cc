// SPDX-License-Identifier: Apache-2.0
//
// One handle in the hands of several threads while its disk comes and goes: every call sees the image held or
// attached, and none falls between the two.
#include <gtest/gtest.h>
#include <virtdisk.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "fake_attachments.h"
#include "testing/temp_folder.h"
#include "testing/vhd_builder.h"

namespace vdisk::testing {
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{4} << 20;

HANDLE open_image(const std::string& path) {
  const VIRTUAL_STORAGE_TYPE type{VIRTUAL_STORAGE_TYPE_DEVICE_VHD, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT};
  OPEN_VIRTUAL_DISK_PARAMETERS parameters{};
  parameters.Version = OPEN_VIRTUAL_DISK_VERSION_2;
  HANDLE handle = nullptr;
  VIRTUAL_STORAGE_TYPE copy = type;
  EXPECT_EQ(OpenVirtualDisk(&copy, std::wstring(path.begin(), path.end()).c_str(), VIRTUAL_DISK_ACCESS_NONE,
                            OPEN_VIRTUAL_DISK_FLAG_NONE, &parameters, &handle),
            0U)
      << VirtdiskGetLastErrorText();
  return handle;
}

void ask(HANDLE handle) {
  GET_VIRTUAL_DISK_INFO info{};
  ULONG size = sizeof info;
  info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
  EXPECT_EQ(GetVirtualDiskInformation(handle, &size, &info, nullptr), 0U) << VirtdiskGetLastErrorText();
  EXPECT_EQ(info.Size.VirtualSize, kBytes);
  info.Version = GET_VIRTUAL_DISK_INFO_IS_LOADED;
  EXPECT_EQ(GetVirtualDiskInformation(handle, &size, &info, nullptr), 0U) << VirtdiskGetLastErrorText();
  wchar_t path[64];
  size = sizeof path;
  const DWORD code = GetVirtualDiskPhysicalPath(handle, &size, path);
  EXPECT_TRUE(code == 0 || code == ERROR_DEV_NOT_EXIST) << code;
}

TEST(AttachThreads, AnImageIsHeldOrAttachedAndNeverBetween) {
  const TempFolder folder;
  ::setenv("VDISK_RUNTIME_DIR", folder.path("registry").c_str(), 1);
  const std::string path = folder.save("disk.vhd", *VhdBuilder::fixed(kBytes).file());
  const HANDLE handle = open_image(path);
  std::atomic<bool> over{false};
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i) {
    askers.emplace_back([&] {
      while (!over.load()) ask(handle);
    });
  }
  for (int round = 0; round < 30; ++round) {
    const auto flags =
        round % 3 == 0 ? ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST : ATTACH_VIRTUAL_DISK_FLAG_NONE;
    EXPECT_EQ(AttachVirtualDisk(handle, nullptr, flags, 0, nullptr, nullptr), 0U)
        << VirtdiskGetLastErrorText();
    EXPECT_EQ(DetachVirtualDisk(handle, DETACH_VIRTUAL_DISK_FLAG_NONE, 0), 0U) << VirtdiskGetLastErrorText();
  }
  over = true;
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(fake_count(), 0);
  EXPECT_EQ(CloseHandle(handle), TRUE);
}

}  // namespace
}  // namespace vdisk::testing
