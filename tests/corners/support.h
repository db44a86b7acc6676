// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the corner cases share: real files, opened through the public API.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vdisk/disk.h>

#include <string>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "base/utf16.h"
#include "testing/temp_folder.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::corners {

using testing::VhdBuilder;
using testing::VhdxBuilder;

inline Guid guid_of(std::uint8_t number) {
  Guid guid;
  guid.bytes.fill(number);
  return guid;
}
inline testing::VhdId vhd_id_of(std::uint8_t number) { return guid_of(number).to_text_order(); }

inline VhdxBuilder& identify(VhdxBuilder& builder, std::uint8_t id) {
  for (int slot = 0; slot < 2; ++slot) {
    builder.edit_header(slot, [=](vhdx::HeaderLayout& header) { header.data_write_guid = guid_of(id); });
  }
  return builder;
}
/// Locator pairs that name the parent with identifier `id`.
inline VhdxBuilder::LocatorPairs link_to(std::uint8_t id, VhdxBuilder::LocatorPairs paths) {
  VhdxBuilder::LocatorPairs pairs = {{u"parent_linkage", *utf8_to_utf16("{" + guid_of(id).to_string() + "}")},
                                     {u"parent_linkage2", u"{00000000-0000-0000-0000-000000000000}"}};
  pairs.insert(pairs.end(), paths.begin(), paths.end());
  return pairs;
}

class CornerCase : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::string save(const std::string& name, const VhdBuilder& builder) const {
    return folder_.save(name, *builder.file());
  }
  std::string save(const std::string& name, VhdxBuilder& builder) const {
    return folder_.save(name, *builder.build());
  }
  std::string save(const std::string& name, VhdxBuilder&& builder) const { return save(name, builder); }

  static std::string fault(const std::string& path, const OpenOptions& options = {}) {
    const auto disk = Disk::open(path, options);
    return disk ? "opened" : std::string(disk.error().id());
  }
  static Win32Code code(const std::string& path, const OpenOptions& options = {}) {
    const auto disk = Disk::open(path, options);
    return disk ? 0 : disk.error().code();
  }
  static Disk must_open(const std::string& path, const OpenOptions& options = {}) {
    auto disk = Disk::open(path, options);
    if (!disk) {
      ADD_FAILURE() << disk.error().message();
      std::abort();
    }
    return *std::move(disk);
  }
  /// The byte at `at`; -1 if it cannot be read.
  static int byte_at(const Disk& disk, std::uint64_t at) {
    std::byte byte{};
    return disk.read({at}, {&byte, 1}) ? std::to_integer<int>(byte) : -1;
  }
  static int byte_at(const std::string& path, std::uint64_t at, const OpenOptions& options = {}) {
    return byte_at(must_open(path, options), at);
  }
  static std::vector<std::byte> content(const Disk& disk) {
    std::vector<std::byte> bytes(disk.geometry().virtual_size_bytes);
    const Status read = disk.read({0}, bytes);
    EXPECT_TRUE(read) << read.error().message();
    return bytes;
  }
  static OpenOptions mapped(const std::string& drive, const std::string& folder) {
    OpenOptions options;
    options.parents.drive_map = {{drive, folder}};
    return options;
  }

  testing::TempFolder folder_;
};

}  // namespace vdisk::corners
