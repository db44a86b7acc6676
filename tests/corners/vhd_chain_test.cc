// SPDX-License-Identifier: Apache-2.0
//
// Cases 20 to 28 of formats.md 6: differencing VHDs with their parents, read through Disk.
#include <utime.h>

#include <filesystem>
#include <fstream>

#include "support.h"

namespace vdisk::corners {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::utf16be_bytes;
using testing::utf16le_bytes;

constexpr std::uint64_t kSize = 8 * kMiB;

class VhdChainCorner : public CornerCase {
 protected:
  /// A dynamic parent whose sector 3 has bytes `id`.
  void base(const std::string& name = "base.vhd", std::uint8_t id = 1) const {
    save(name, VhdBuilder::dynamic(kSize, kMiB).unique_id(vhd_id_of(id)).fill(3, 1, id));
  }
  static VhdBuilder child(std::uint8_t id = 2) {
    VhdBuilder builder = VhdBuilder::differencing(kSize, kMiB);
    builder.unique_id(vhd_id_of(id)).fill(5, 1, id);
    return builder;
  }
  static VhdBuilder child_of(const std::string& relative, const std::string& absolute = "") {
    VhdBuilder builder = child();
    builder.parent(vhd_id_of(1), relative, absolute);
    return builder;
  }
  int parents_byte(const VhdBuilder& builder, const OpenOptions& options = {}) const {
    return byte_at(save("child.vhd", builder), 3 * 512, options);
  }
};

TEST_F(VhdChainCorner, No20_LocatorSpaceInBytesOrSectorsOrNonsense) {
  base();
  for (const std::uint32_t space : {1U, 512U, 0U, 0xFFFF'FFFFU}) {
    EXPECT_EQ(parents_byte(child_of(".\\base.vhd").edit_header([=](vhd::DynamicHeader& header) {
                header.parent_locators[0].data_space = space;
              })),
              1)
        << space;
  }
}

TEST_F(VhdChainCorner, No21_LocatorsAreLittleEndianTheNameIsBigEndian) {
  const std::string name = "bäse \u30C6.vhd";
  base(name);
  constexpr std::uint32_t kW2ru = 0x57327275;
  EXPECT_EQ(parents_byte(child().parent(vhd_id_of(1), "").locator(kW2ru, utf16le_bytes(".\\" + name))), 1);
  EXPECT_EQ(parents_byte(child().parent(vhd_id_of(1), "", "", name)), 1) << "the name alone, big-endian";
  EXPECT_EQ(
      code(save("child.vhd", child().parent(vhd_id_of(1), "").locator(kW2ru, utf16be_bytes(".\\" + name)))),
      0xC03A000DU)
      << "no name swaps its bytes";
}

TEST_F(VhdChainCorner, No22_WindowsPathsOnLinux) {
  base("Images/Ünter/Base.VHD");
  EXPECT_EQ(parents_byte(child_of(".\\Images\\Ünter\\Base.VHD")), 1);
  EXPECT_EQ(parents_byte(child_of("Images\\Ünter\\Base.VHD")), 1) << "without .\\";
  EXPECT_EQ(parents_byte(child_of("./Images/Ünter/Base.VHD")), 1) << "slashes";
  EXPECT_EQ(parents_byte(child_of(".\\iMAGES\\üNTER\\base.vhd")), 1) << "another case, ü too";
  const VhdBuilder drive = child_of("", "D:\\Store\\Images\\Ünter\\Base.VHD");
  EXPECT_EQ(code(save("child.vhd", drive)), 0xC03A000DU) << "what D: means is not known";
  fs::create_directory(path("Store"));
  fs::rename(path("Images"), path("Store/Images"));
  EXPECT_EQ(parents_byte(drive, mapped("d:", folder_.path())), 1);
  // '..' leads out of the child's folder: only to the image that the child records, and never when confined.
  base("out/base.vhd");
  const std::string inside = folder_.save("in/child.vhd", *child_of("..\\out\\base.vhd").file());
  EXPECT_EQ(byte_at(inside, 3 * 512), 1);
  OpenOptions confined;
  confined.parents.confine = true;
  const auto refused = Disk::open(inside, confined);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), 0xC03A000DU);
  EXPECT_THAT(refused.error().message(), HasSubstr("confine"));
  base("out/base.vhd", 9);
  EXPECT_EQ(fault(inside), "chain.identity_mismatch");
}

TEST_F(VhdChainCorner, No23_ParentTimeZeroIsNoCheck) {
  base();
  std::vector<std::string> remarks;
  OpenOptions options;
  options.trace = [&](TraceLevel, std::string_view text) { remarks.emplace_back(text); };
  EXPECT_EQ(parents_byte(child_of(".\\base.vhd").parent_timestamp(0), options), 1);
  EXPECT_TRUE(remarks.empty()) << remarks[0];
  EXPECT_EQ(parents_byte(child_of(".\\base.vhd").parent_timestamp(1), options), 1);
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_THAT(remarks[0], HasSubstr("records 2000-01-01 00:00:01 UTC"));
}

TEST_F(VhdChainCorner, No24_AnotherIdFailsACopyWithAnotherTimeWorks) {
  base();
  const std::string image = save("child.vhd", child_of(".\\base.vhd").parent_timestamp(700'000'000));
  fs::copy_file(path("base.vhd"), path("copy.vhd"));
  fs::rename(path("copy.vhd"), path("base.vhd"));
  const utimbuf then{.actime = 1'000'000'000, .modtime = 1'000'000'000};
  ASSERT_EQ(::utime(path("base.vhd").c_str(), &then), 0);
  EXPECT_EQ(byte_at(image, 3 * 512), 1);
  base("base.vhd", 7);
  EXPECT_EQ(code(image), 0xC03A000EU);
}

TEST_F(VhdChainCorner, No25_FixedRawAndDeeperParents) {
  save("fixed.vhd", VhdBuilder::fixed(kSize).unique_id(vhd_id_of(1)).fill(3, 1, 0x11));
  EXPECT_EQ(parents_byte(child_of(".\\fixed.vhd")), 0x11);
  // A zero id: Xen's child of a raw disk. Only when the caller allows raw parents.
  std::string raw(kSize, '\0');
  raw[3 * 512] = 'r';
  std::ofstream(path("disk.raw"), std::ios::binary) << raw;
  const std::string image = save("child.vhd", child().parent({}, ".\\disk.raw"));
  EXPECT_EQ(code(image), 0xC03A000DU);
  OpenOptions options;
  options.parents.allow_raw = true;
  EXPECT_EQ(byte_at(image, 3 * 512, options), 'r');
  EXPECT_EQ(byte_at(image, 5 * 512, options), 2);
  // A parent that is a child itself.
  save("middle.vhd", child_of(".\\fixed.vhd"));
  const std::string top = save(
      "top.vhd",
      VhdBuilder::differencing(kSize, kMiB).unique_id(vhd_id_of(3)).parent(vhd_id_of(2), ".\\middle.vhd"));
  EXPECT_EQ(byte_at(top, 3 * 512), 0x11);
  EXPECT_EQ(byte_at(top, 5 * 512), 2);
}

TEST_F(VhdChainCorner, No26_BlockSizesDiffer) {
  for (const std::uint32_t parent_block : {512U, 4096U, 512U << 10, 4U << 20}) {
    for (const std::uint32_t child_block : {512U, 64U << 10, 2U << 20}) {
      save("base.vhd", VhdBuilder::dynamic(kSize, parent_block).unique_id(vhd_id_of(1)).fill(2000, 3000, 1));
      const std::string image = save("child.vhd", VhdBuilder::differencing(kSize, child_block)
                                                      .parent(vhd_id_of(1), ".\\base.vhd")
                                                      .fill(1990, 20, 2)
                                                      .fill(4096, 1, 3));
      const auto bytes = content(must_open(image));
      for (std::uint64_t sector = 0; sector < kSize / 512; ++sector) {
        const bool own = sector >= 1990 && sector < 2010;
        const int expected = sector == 4096 ? 3 : own ? 2 : sector >= 2000 && sector < 5000 ? 1 : 0;
        ASSERT_EQ(std::to_integer<int>(bytes[sector * 512]), expected) << sector;
        ASSERT_EQ(std::to_integer<int>(bytes[sector * 512 + 511]), expected) << sector;
      }
    }
  }
}

TEST_F(VhdChainCorner, No27_CyclesEnd) {
  EXPECT_EQ(code(save("child.vhd", child().parent(vhd_id_of(2), ".\\child.vhd"))), 0xC03A0018U);
  save("a.vhd", child(1).parent(vhd_id_of(2), ".\\b.vhd"));
  save("b.vhd", child(2).parent(vhd_id_of(1), ".\\a.vhd"));
  EXPECT_EQ(code(path("a.vhd")), 0xC03A0018U);
  EXPECT_EQ(code(path("b.vhd")), 0xC03A0018U);
  // A tail that leads into a circle.
  EXPECT_EQ(code(save("tail.vhd", child(3).parent(vhd_id_of(1), ".\\a.vhd"))), 0xC03A0018U);
}

TEST_F(VhdChainCorner, No28_WithoutItsParentAChildIsNoDisk) {
  const std::string image = save("child.vhd", child_of(".\\gone.vhd"));
  EXPECT_EQ(code(image), 0xC03A000DU);
  OpenOptions alone;
  alone.no_parents = true;
  const Disk disk = must_open(image, alone);
  EXPECT_EQ(disk.type(), DiskType::kDifferencing);
  EXPECT_EQ(byte_at(disk, 5 * 512), 2);
  std::byte byte{};
  const Status parents = disk.read({3 * 512}, {&byte, 1});
  ASSERT_FALSE(parents) << "never zeros";
  EXPECT_EQ(parents.error().id(), "disk.parent_not_open");
}

}  // namespace
}  // namespace vdisk::corners
