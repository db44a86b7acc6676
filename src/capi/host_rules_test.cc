// SPDX-License-Identifier: Apache-2.0
#include "capi/host_rules.h"

#include <gtest/gtest.h>

#include "capi/faults.h"

namespace vdisk::capi {
namespace {

constexpr std::uint32_t kCompressedIsFine = OPEN_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES;
constexpr std::uint32_t kEncryptedIsFine = OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES;

Win32Code code_for(const HostVolumeFacts& facts, std::uint32_t flags, std::string_view contract) {
  const Status status = check_host_rules("disk.vhd", flags, *find_contract(contract),
                                         [&](const std::string&) { return facts; });
  return status ? 0 : status.error().code();
}

TEST(HostRules, T15CompressedFile) {
  for (const Contract& contract : contracts()) {
    EXPECT_EQ(code_for({.compressed = true, .why = "is compressed"}, 0, contract.name), 618U);
    EXPECT_EQ(code_for({.compressed = true, .why = ""}, kCompressedIsFine, contract.name), 0U);
  }
}

TEST(HostRules, NewFilesTakeWhatTheirFolderHas) {
  const auto code = [](const HostVolumeFacts& facts, std::uint32_t flags) -> Win32Code {
    std::string asked;
    const Status status =
        check_host_rules_of_new_file("folder/disk.vhd", flags, [&](const std::string& path) {
          asked = path;
          return facts;
        });
    EXPECT_EQ(asked.empty(), flags != 0);
    if (!asked.empty()) {
      EXPECT_EQ(asked, "folder/");
    }
    return status ? 0 : status.error().code();
  };
  EXPECT_EQ(code({.why = ""}, 0), 0U);
  EXPECT_EQ(code({.compressed = true, .why = ""}, 0), 0xC03A001AU);
  EXPECT_EQ(code({.encrypted = true, .why = ""}, 0), 0xC03A001AU);
  EXPECT_EQ(code({.compressed = true, .why = ""}, CREATE_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES), 0U);
}

TEST(HostRules, AVolumeMountedWithCompressionCountsOnlyToTheLetterOfThePage) {
  EXPECT_EQ(code_for({.volume_compressed = true, .why = ""}, 0, "windows10"), 0U);
  EXPECT_EQ(code_for({.volume_compressed = true, .why = ""}, 0, "page2018"), 618U);
  EXPECT_EQ(code_for({.volume_compressed = true, .why = ""}, 0, "windows7"), 618U);
}

TEST(HostRules, T16EncryptedFile) {
  EXPECT_EQ(code_for({.encrypted = true, .why = "is encrypted"}, 0, "windows10"), 6002U);
  EXPECT_EQ(code_for({.encrypted = true, .why = ""}, kEncryptedIsFine, "windows10"), 0U);
}

TEST(HostRules, T17LoopbackShare) {
  EXPECT_EQ(code_for({.loopback_share = true, .why = "is on a share of this host"}, 0, "windows10"), 665U);
  EXPECT_EQ(code_for({.loopback_share = true, .why = ""}, kCompressedIsFine | kEncryptedIsFine, "windows10"),
            665U);
}

TEST(HostRules, AnOrdinaryPlaceIsFine) { EXPECT_EQ(code_for({}, 0, "page2018"), 0U); }

}  // namespace
}  // namespace vdisk::capi
