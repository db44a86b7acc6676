// SPDX-License-Identifier: Apache-2.0
//
// Cases 75 to 82 of formats.md 6: differencing VHDX files with their parents, read through Disk.
#include <sys/stat.h>

#include <filesystem>

#include "support.h"

namespace vdisk::corners {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::LogWrite;
using testing::VhdxLogBuilder;
using Pairs = VhdxBuilder::LocatorPairs;

constexpr std::uint64_t kSize = 8 * kMiB;

class VhdxChainCorner : public CornerCase {
 protected:
  /// A parent whose first block has bytes `value`.
  std::string base(const std::string& name = "base.vhdx", std::uint8_t id = 1,
                   std::uint8_t value = 0x11) const {
    VhdxBuilder builder(kSize);
    identify(builder, id).present(0);
    builder.write(0, kMiB, value);
    return save(name, builder);
  }
  std::string child(const Pairs& pairs, const std::string& name = "child.vhdx",
                    std::uint64_t size = kSize) const {
    VhdxBuilder builder(size);
    identify(builder, 2).differencing(pairs);
    builder.partial(2);
    builder.set_bits(2 * kMiB / 512 + 1, 1);
    builder.write(2 * kMiB + 512, 512, 0x22);
    return save(name, builder);
  }
  std::string child() const { return child(link_to(1, {{u"relative_path", u".\\base.vhdx"}})); }
};

TEST_F(VhdxChainCorner, No75_AZeroSecondLinkageMatchesNothing) {
  VhdxBuilder builder(kSize);
  for (int slot = 0; slot < 2; ++slot) {
    builder.edit_header(slot, [](vhdx::HeaderLayout& header) { header.data_write_guid = Guid{}; });
  }
  save("base.vhdx", builder);
  EXPECT_EQ(code(child()), 0xC03A000EU);
  // A second linkage that is not zero does count.
  base("base.vhdx", 7);
  Pairs pairs = link_to(1, {{u"relative_path", u".\\base.vhdx"}});
  pairs[1].second = *utf8_to_utf16("{" + guid_of(7).to_string() + "}");
  EXPECT_EQ(byte_at(child(pairs), 0), 0x11);
}

TEST_F(VhdxChainCorner, No76_ForgivingTexts) {
  base("disks/base.vhdx");
  const OpenOptions options = mapped("C:", folder_.path());
  for (const char16_t* absolute :
       {u"C:\\disks\\base.vhdx", u"\\\\?\\C:\\disks\\base.vhdx", u"c:/disks/base.vhdx"}) {
    EXPECT_EQ(byte_at(child(link_to(1, {{u"absolute_win32_path", absolute}})), 0, options), 0x11);
  }
  // Upper case, and no braces.
  VhdxBuilder parent(kSize);
  for (int slot = 0; slot < 2; ++slot) {
    parent.edit_header(slot, [](vhdx::HeaderLayout& h) { h.data_write_guid = VhdxBuilder::kParentGuid; });
  }
  save("base.vhdx", parent);
  for (const char16_t* guid :
       {u"{040302A1-0605-0807-090A-0B0C0D0E0F10}", u"040302a1-0605-0807-090a-0b0c0d0e0f10"}) {
    EXPECT_EQ(fault(child({{u"parent_linkage", guid}, {u"relative_path", u"base.vhdx"}})), "opened");
  }
}

TEST_F(VhdxChainCorner, No77_ALocatorThatIsCorruptIsRefusedBeforeAnyPathIsTried) {
  base();
  const auto good = link_to(1, {{u"relative_path", u".\\base.vhdx"}});
  EXPECT_EQ(fault(child(good)), "opened");
  Pairs doubled = good;
  doubled.push_back(good.back());
  EXPECT_EQ(fault(child(doubled)), "vhdx.locator.malformed");
  EXPECT_EQ(code(path("child.vhdx")), 1392U);
}

TEST_F(VhdxChainCorner, No78_OrderOfThePathsAndStaleOnes) {
  const Pairs all =
      link_to(1, {{u"absolute_win32_path", u"C:\\abs\\base.vhdx"},
                  {u"volume_path", u"\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\vol\\base.vhdx"},
                  {u"relative_path", u".\\rel\\base.vhdx"}});
  const OpenOptions options = mapped("C:", folder_.path());
  const std::string image = child(all);
  base("abs/base.vhdx", 1, 0xAA);
  EXPECT_EQ(byte_at(image, 0, options), 0xAA) << "the stale relative path does not matter";
  base("rel/base.vhdx", 1, 0xBB);
  EXPECT_EQ(byte_at(image, 0, options), 0xBB) << "relative comes first";
  base("rel/base.vhdx", 5, 0xBB);
  EXPECT_EQ(byte_at(image, 0, options), 0xAA) << "another disk in its place is passed over";
  fs::remove_all(path("rel"));
  fs::remove_all(path("abs"));
  EXPECT_EQ(code(image, options), 0xC03A000DU);
}

TEST_F(VhdxChainCorner, No78_AVolumePathAloneMeansNothingHereButItsNameDoes) {
  const Pairs volume = link_to(
      1, {{u"volume_path", u"\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\disks\\base.vhdx"}});
  const std::string image = child(volume);
  const auto missing = Disk::open(image);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().id(), "chain.parent_not_found");
  EXPECT_THAT(missing.error().message(), HasSubstr("Volume{26a21bda"));
  base();
  EXPECT_EQ(byte_at(image, 0), 0x11) << "the same name in the child's folder";
  fs::create_directory(path("store"));
  fs::rename(path("base.vhdx"), path("store/base.vhdx"));
  EXPECT_EQ(code(image), 0xC03A000DU);
  OpenOptions options;
  options.parents.directories = {path("store")};
  EXPECT_EQ(byte_at(image, 0, options), 0x11);
}

TEST_F(VhdxChainCorner, No79_ParentsAreReadOnlyAndShared) {
  const std::string parent = base();
  ASSERT_EQ(::chmod(parent.c_str(), 0444), 0);
  const std::string one = child();
  const std::string two = child(link_to(1, {{u"relative_path", u".\\base.vhdx"}}), "two.vhdx");
  const auto before = testing::state_of(parent);
  const Disk first = must_open(one);
  const Disk second = must_open(two);
  EXPECT_EQ(byte_at(first, 0), 0x11);
  EXPECT_EQ(byte_at(second, 2 * kMiB + 512), 0x22);
  EXPECT_EQ(testing::state_of(parent), before) << "no header, no log, no time changes";
  OpenOptions writable;
  writable.writable = true;
  EXPECT_EQ(fault(parent, writable).substr(0, 3), "io.") << "while children read it, nobody writes it";
}

TEST_F(VhdxChainCorner, No80_ADirtyParentIsOverlaid) {
  VhdxLogBuilder log;
  VhdxBuilder builder(kSize);
  identify(builder, 1).log_guid(log.guid());
  builder.present(0);
  builder.present(3);
  builder.write(0, kMiB, 0x11);
  builder.write(3 * kMiB, kMiB, 0x33);
  const std::uint64_t bat = builder.bat_offset();
  const std::uint64_t log_offset = builder.log_offset();
  auto file = builder.build();
  log.add({.writes = {testing::take_page(*file, bat)}});  // the file's own BAT page is nonsense
  testing::put_log(*file, log_offset, log);
  const std::string parent = folder_.save("base.vhdx", *file);
  const auto before = testing::state_of(parent);
  const std::string image = child();
  {
    const Disk disk = must_open(image);
    EXPECT_EQ(byte_at(disk, 0), 0x11);
    EXPECT_EQ(byte_at(disk, 2 * kMiB + 512), 0x22);
    EXPECT_EQ(byte_at(disk, 2 * kMiB), 0);
    EXPECT_EQ(byte_at(disk, 4 * kMiB - 1), 0x33);
    EXPECT_TRUE(disk.info(1)->dirty_log);
    EXPECT_FALSE(disk.info(0)->dirty_log);
  }
  EXPECT_EQ(testing::state_of(parent), before);
  // A parent on which nobody may write is no different.
  ASSERT_EQ(::chmod(parent.c_str(), 0444), 0);
  EXPECT_EQ(byte_at(image, 0), 0x11);
  // A log that cannot be replayed makes the whole chain unreadable, and says so.
  auto broken = VhdxBuilder(kSize);
  identify(broken, 1).log_guid(log.guid());
  save("base.vhdx", broken);
  const auto refused = Disk::open(image);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id(), "vhdx.log.empty");
  EXPECT_THAT(refused.error().message(), HasSubstr("parent " + parent));
}

TEST_F(VhdxChainCorner, No81_BehindTheParentsEndThereAreZeros) {
  VhdxBuilder parent(4 * kMiB + 512);
  identify(parent, 1);
  parent.present(4);
  parent.write(4 * kMiB, 512, 0x44);
  // What lies behind the parent's last sector in its block is not part of its disk.
  parent.write(4 * kMiB + 512, 512, 0x99);
  save("base.vhdx", parent);
  const Disk disk =
      must_open(child(link_to(1, {{u"relative_path", u".\\base.vhdx"}}), "child.vhdx", 64 * kMiB));
  EXPECT_EQ(disk.geometry().virtual_size_bytes, 64 * kMiB);
  EXPECT_EQ(byte_at(disk, 4 * kMiB + 511), 0x44);
  EXPECT_EQ(byte_at(disk, 4 * kMiB + 512), 0);
  EXPECT_EQ(byte_at(disk, 5 * kMiB), 0);
  EXPECT_EQ(byte_at(disk, 64 * kMiB - 1), 0);
  EXPECT_EQ(content(disk).size(), 64 * kMiB);
}

TEST_F(VhdxChainCorner, No82_AParentThatWasWrittenMeanwhileIsAnotherDisk) {
  const std::string image = child();
  base("base.vhdx", 6);
  EXPECT_EQ(code(image), 0xC03A000EU);
  EXPECT_EQ(fault(image), "chain.identity_mismatch");
  // For recovery the child's own data can be read alone.
  OpenOptions alone;
  alone.no_parents = true;
  EXPECT_EQ(byte_at(image, 2 * kMiB + 512, alone), 0x22);
}

}  // namespace
}  // namespace vdisk::corners
