// SPDX-License-Identifier: Apache-2.0
#include "attach/udev.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

namespace vdisk::attach {
namespace {

TEST(Udev, Properties) {
  AttachmentInfo info;
  info.image_path = "/images/a.vhdx";
  info.format = FormatId::kVhdx;
  info.disk_id = Guid::parse("00112233-4455-6677-8899-aabbccddeeff");
  ASSERT_TRUE(info.disk_id);
  EXPECT_EQ(udev_properties(info),
            "ID_VENDOR=vdisk\nID_MODEL=VHDX\nID_SERIAL=00112233-4455-6677-8899-aabbccddeeff\n"
            "ID_SERIAL_SHORT=00112233-4455-6677-8899-aabbccddeeff\nVDISK_IMAGE=/images/a.vhdx\n");
  info.format = FormatId::kIso;
  info.disk_id.reset();
  EXPECT_EQ(udev_properties(info), "ID_VENDOR=vdisk\nID_MODEL=ISO\nVDISK_IMAGE=/images/a.vhdx\n");
}

TEST(Udev, NoPathLeavesItsLine) {
  AttachmentInfo info;
  info.image_path = "/a b\nID_SERIAL=\"x\"\\$env{A}%k'\t\x7f\xc3\xa4\r";
  const std::string text = udev_properties(info);
  EXPECT_EQ(text,
            "ID_VENDOR=vdisk\nID_MODEL=RAW\n"
            "VDISK_IMAGE=/a\\x20b\\x0aID_SERIAL=\\x22x\\x22\\x5c\\x24env\\x7bA\\x7d\\x25k\\x27\\x09\\x7f"
            "\\xc3\\xa4\\x0d\n");
}

TEST(Udev, ARecordWithoutItsDeviceIsNone) {
  std::string folder = std::filesystem::temp_directory_path() / "vdisk-udev-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const RegistryOptions options{.folder = folder};
  for (const char* node : {"/dev/loop9876543", "/dev/nbd9876543"}) {
    AttachmentRecord record;
    record.device_node = node;
    record.image_path = "/images/a";
    record.image = {1, 2};
    const auto published = publish(record, options);
    ASSERT_TRUE(published) << published.error().message();
    const auto found = recorded_at(node, options);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_FALSE(found->has_value());
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vdisk::attach
