// SPDX-License-Identifier: Apache-2.0
//
// The corner cases of formats.md 6 that concern reading a VHD, by number. Cases 11, 31, 32 and 35 are a
// writer's, 27 is the chain's.
#include "base/checked.h"
#include "format/registry.h"
#include "format/vhd/test_support.h"

namespace vdisk::vhd {
namespace {

using testing::text_bytes;
using testing::utf16le_bytes;

constexpr std::uint32_t kBlock = 4096;  // 8 sectors: small enough to look at

TEST(VhdCornerCase, No01_FixedIsSniffedByItsLastSectorAfterExtensionAndType) {
  const auto builder = VhdBuilder::fixed(kMiB).fill(0, 1, 0x11);
  const auto file = builder.file();
  EXPECT_EQ(detect_format(*file, "disk.img", std::nullopt).value()->id, FormatId::kVhd);
  EXPECT_EQ(detect_format(*file, "disk.img", FormatId::kRaw).value()->id, FormatId::kRaw);
  EXPECT_EQ(detect_format(*file, "disk.VHD", std::nullopt).value()->id, FormatId::kVhd);
  // A raw disk whose content ends in some VHD's footer is too short for it.
  const auto shorter = VhdBuilder::fixed(kMiB).edit_footer([](Footer& f) { f.current_size = kMiB + 512; });
  EXPECT_EQ(fault_at_open(shorter), "vhd.file_size");
  EXPECT_EQ(open_image(shorter).error().code(), 0xC03A0013);
}

TEST(VhdCornerCase, No02_FrontFooterBadEndGood) {
  for (const auto& builder :
       {VhdBuilder::dynamic(8 * kBlock, kBlock).fill(3, 1, 0x33).break_front_footer(),
        VhdBuilder::dynamic(8 * kBlock, kBlock).fill(3, 1, 0x33).patch(0, zeros(512))}) {
    const auto image = open_image(builder);
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(byte_at(**image, 3 * 512), 0x33);
    EXPECT_EQ(detail(**image, "footer_copy"), "end");
    EXPECT_TRUE(has_note(**image, "copy at the front is damaged"));
  }
}

TEST(VhdCornerCase, No03_EndFooterBadOrMissingFrontGood) {
  const auto base = VhdBuilder::dynamic(8 * kBlock, kBlock).fill(3, 1, 0x33).fill(20, 1, 0x20);
  for (const auto& builder : {VhdBuilder(base).break_end_footer(), VhdBuilder(base).omit_end_footer()}) {
    const auto image = open_image(builder);
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(byte_at(**image, 3 * 512), 0x33);
    EXPECT_EQ(byte_at(**image, 20 * 512), 0x20);
    EXPECT_EQ(detail(**image, "footer_copy"), "front");
    EXPECT_TRUE(has_note(**image, "the copy at the front was used"));
  }
  // A cut that takes a part of the last block too, or a first part of a split image.
  const auto cut = open_image(VhdBuilder(base).cut(512 + 100));
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().id(), "vhd.bat.range");
  EXPECT_NE(cut.error().message().find(".v01"), std::string::npos);
}

TEST(VhdCornerCase, No04_FooterOf511Bytes) {
  const auto fixed = open_image(VhdBuilder::fixed(kMiB).fill(5, 1, 0x55).short_footer());
  ASSERT_TRUE(fixed) << fixed.error().message();
  EXPECT_EQ(byte_at(**fixed, 5 * 512), 0x55);
  EXPECT_EQ(detail(**fixed, "footer_copy"), "short");
  const auto dynamic = open_image(VhdBuilder::dynamic(kMiB).fill(5, 1, 0x55).short_footer());
  ASSERT_TRUE(dynamic) << dynamic.error().message();
  EXPECT_EQ(detail(**dynamic, "footer_copy"), "short");
  EXPECT_EQ(byte_at(**dynamic, 5 * 512), 0x55);
}

TEST(VhdCornerCase, No05_FileLengthNoMultipleOf512) {
  const auto image = open_image(VhdBuilder::fixed(kMiB).fill(5, 1, 0x55).cut(300));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(detail(**image, "footer_copy"), "rounded");
  EXPECT_EQ(byte_at(**image, 5 * 512), 0x55);
  EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).cut(500)), "vhd.footer.missing");
}

TEST(VhdCornerCase, No06_BothFootersValidSizesDiffer) {
  const auto builder =
      VhdBuilder::dynamic(8 * kBlock, kBlock).fill(3, 1, 0x33).edit_front_footer([](Footer& f) {
        f.current_size = 4 * kBlock;
      });
  const auto image = open_image(builder);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE((*image)->properties().read_only);
  EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, 8 * kBlock);
  EXPECT_TRUE(has_note(**image, "the copy at the front type 3 and 16384 bytes"));
  EXPECT_EQ(fault_at_open(builder, true), "vhd.footer.differ");
  const auto type =
      VhdBuilder::dynamic(8 * kBlock, kBlock).edit_front_footer([](Footer& f) { f.disk_type = 4; });
  EXPECT_EQ(fault_at_open(type, true), "vhd.footer.differ");
  EXPECT_EQ(fault_at_open(type), "");
}

TEST(VhdCornerCase, No07_ChsSmallerThanCurrentSize) {
  for (const char* application : {"win ", "vpc ", "qemu"}) {
    const auto image = open_image(VhdBuilder::fixed(10 * kMiB).creator(application, 0x00050003, "Wi2k"));
    ASSERT_TRUE(image);
    EXPECT_EQ(detail(**image, "chs_geometry"), "301/4/17");
    EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, 10 * kMiB);
  }
}

TEST(VhdCornerCase, No08_ChsZero) {
  const auto image = open_image(VhdBuilder::fixed(3 * kMiB).edit_footer([](Footer& f) {
    f.cylinders = 0;
    f.heads = f.sectors_per_track = 0;
    f.creator_application = f.creator_host_os = {};
    f.creator_version = f.timestamp = 0;
  }));
  ASSERT_TRUE(image);
  EXPECT_EQ(detail(**image, "chs_geometry"), "0/0/0");
  EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, 3 * kMiB);
  EXPECT_EQ((*image)->properties().creator, "");
}

TEST(VhdCornerCase, No09_BytesBeforeAndBehindTheFooterOfAFixedDisk) {
  const auto padded = open_image(VhdBuilder::fixed(kMiB).fill(7, 1, 0x77).padding_before_footer(4096), true);
  ASSERT_TRUE(padded) << padded.error().message();
  EXPECT_EQ((*padded)->properties().geometry.virtual_size_bytes, kMiB);
  for (const std::size_t behind :
       {std::size_t{7}, std::size_t{512}, std::size_t{4096}, std::size_t{200'000}}) {
    const auto builder = VhdBuilder::fixed(kMiB).fill(7, 1, 0x77).append(zeros(behind));
    const auto image = open_image(builder);
    ASSERT_TRUE(image) << behind << ": " << image.error().message();
    EXPECT_EQ(detail(**image, "footer_copy"), "found");
    EXPECT_TRUE((*image)->properties().read_only);
    EXPECT_TRUE(has_note(**image, fmt::format("{} bytes follow the footer at 0x100000", behind)));
    EXPECT_EQ(byte_at(**image, 7 * 512), 0x77);
    EXPECT_EQ(fault_at_open(builder, true), "vhd.footer.trailing_bytes");
  }
  EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).append(zeros(2 * kMiB))), "vhd.footer.missing");
  // A damaged footer in its place is damage; what lies before it is data and not searched.
  const auto inner = VhdBuilder::fixed(4096).bytes();
  const auto nested = VhdBuilder::fixed(8192).write(DiskOffset{0}, inner).break_end_footer();
  EXPECT_EQ(fault_at_open(nested), "vhd.footer.checksum");
}

TEST(VhdCornerCase, No10_DataOffsetOfFixedIsIgnored) {
  for (const std::uint64_t value : {std::uint64_t{0xFFFF'FFFF}, std::uint64_t{0}, std::uint64_t{513}}) {
    EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).edit_footer([=](Footer& f) { f.data_offset = value; })),
              "");
  }
}

TEST(VhdCornerCase, No12_TableLargerThanNeeded) {
  const auto image = open_image(VhdBuilder::dynamic(8 * kBlock, kBlock).table_entries(5000).fill(9, 1, 0x99));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(byte_at(**image, 9 * 512), 0x99);
  // Entries past the disk's blocks are not looked at.
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(8 * kBlock, kBlock).table_entries(9).spare_entry(0)), "");
}

TEST(VhdCornerCase, No13_TablePaddingOfZeros) {
  const auto image = open_image(VhdBuilder::dynamic(8 * kBlock, kBlock).table_padding(0).fill(9, 1, 0x99));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ((*image)->allocated_bytes().value(), kBlock);
}

TEST(VhdCornerCase, No14_EntriesThatPointWhereNoBlockCanBe) {
  const auto base = VhdBuilder::differencing(8 * kBlock, kBlock).parent(vhd_id(2), ".\\a.vhd").fill(0, 64, 1);
  const auto with = [&](std::uint32_t block, std::uint64_t at) {
    return VhdBuilder(base).bat_entry(block, static_cast<std::uint32_t>(at / 512));
  };
  EXPECT_EQ(fault_at_open(base), "");
  EXPECT_EQ(fault_at_open(with(1, 0)), "vhd.bat.metadata");
  EXPECT_EQ(fault_at_open(with(1, 512)), "vhd.bat.metadata");
  EXPECT_EQ(fault_at_open(with(1, base.table_offset())), "vhd.bat.metadata");
  EXPECT_EQ(fault_at_open(with(1, base.table_offset() + 512)), "vhd.bat.metadata");  // a locator
  EXPECT_EQ(fault_at_open(with(1, base.footer_at())), "vhd.bat.range");
  EXPECT_EQ(fault_at_open(with(1, base.footer_at() - 512)), "vhd.bat.range");
  EXPECT_EQ(fault_at_open(with(1, std::uint64_t{0xFFFF'FFFE} * 512)), "vhd.bat.range");
  EXPECT_EQ(fault_at_open(with(1, base.block_at(4))), "vhd.bat.overlap");
  EXPECT_EQ(fault_at_open(with(1, base.block_at(4) + 512)), "vhd.bat.overlap");
  EXPECT_EQ(open_image(with(1, base.block_at(4))).error().code(), 0xC03A000A);
}

TEST(VhdCornerCase, No15_LastBlockShortButTheDiskIsWhole) {
  // The disk ends after 3 of the 8 sectors of its last block.
  const auto base = VhdBuilder::dynamic(2 * kBlock + 3 * 512, kBlock).fill(0, 19, 0x15);
  const auto whole = open_image(base);
  ASSERT_TRUE(whole);
  EXPECT_FALSE((*whole)->properties().read_only);
  // Rebuilt by hand: the footer follows the third sector directly.
  auto bytes = base.bytes();
  std::vector<std::byte> footer(bytes.end() - 512, bytes.end());
  bytes.resize(bytes.size() - 512 - 5 * 512);
  bytes.insert(bytes.end(), footer.begin(), footer.end());
  const auto open = [&](const std::vector<std::byte>& content, bool writable) {
    return kFormat.open(std::make_unique<MemoryFile>(content), with_write(writable));
  };
  const auto image = open(bytes, false);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE((*image)->properties().read_only);
  EXPECT_EQ(byte_at(**image, 2 * kBlock + 3 * 512 - 1), 0x15);
  EXPECT_EQ(fault_of(open(bytes, true)), "vhd.block.short");
  bytes.erase(bytes.end() - 1024, bytes.end() - 512);
  EXPECT_EQ(fault_of(open(bytes, false)), "vhd.bat.range");
}

TEST(VhdCornerCase, No16_BlocksInAnyOrder) {
  const auto builder =
      VhdBuilder::dynamic(8 * kBlock, kBlock).fill(5 * 8, 8, 5).fill(1 * 8, 8, 1).fill(3 * 8, 8, 3);
  EXPECT_LT(builder.block_at(5), builder.block_at(1));
  const auto image = open_image(builder);
  ASSERT_TRUE(image);
  for (std::uint64_t block = 0; block < 8; ++block) {
    const bool there = block == 1 || block == 3 || block == 5;
    EXPECT_EQ(byte_at(**image, block * kBlock), there ? block : 0);
  }
}

TEST(VhdCornerCase, No17_BitmapsAreMostSignificantBitFirst) {
  auto builder = VhdBuilder::differencing(kBlock, kBlock).parent(vhd_id(2), ".\\a.vhd").fill(0, 8, 0x17);
  const auto image = open_image(builder.patch(builder.block_at(0), {std::byte{0b1000'0010}}));
  ASSERT_TRUE(image);
  for (std::uint64_t sector = 0; sector < 8; ++sector) {
    EXPECT_EQ(byte_at(**image, sector * 512), sector == 0 || sector == 6 ? 0x17 : 0xEE) << sector;
  }
}

TEST(VhdCornerCase, No18_ClearBitsOfDynamicDisksReadAsZerosWhateverTheBytesSay) {
  const auto image = open_image(
      VhdBuilder::dynamic(2 * kBlock, kBlock).fill(0, 16, 0x18).mark(2, 3, false).mark(8, 8, false));
  ASSERT_TRUE(image);
  for (std::uint64_t sector = 0; sector < 16; ++sector) {
    const bool clear = (sector >= 2 && sector < 5) || sector >= 8;
    EXPECT_EQ(byte_at(**image, sector * 512), clear ? 0 : 0x18) << sector;
  }
}

TEST(VhdCornerCase, No19_BitmapLengths) {
  EXPECT_EQ(bitmap_bytes_of(512), 512u);
  EXPECT_EQ(bitmap_bytes_of(512 << 10), 512u);
  EXPECT_EQ(bitmap_bytes_of(2 << 20), 512u);
  EXPECT_EQ(bitmap_bytes_of(4 << 20), 1024u);
  EXPECT_EQ(bitmap_bytes_of(256 << 20), 65536u);
  for (const std::uint32_t block : {512u, 1024u, 512u << 10, 4u << 20, 16u << 20}) {
    const std::uint64_t last = 3 * std::uint64_t{block} / 512 - 1;
    const auto image = open_image(VhdBuilder::dynamic(3 * std::uint64_t{block}, block).fill(last, 1, 0x19));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(byte_at(**image, last * 512), 0x19) << block;
    EXPECT_EQ(byte_at(**image, 0), 0) << block;
  }
}

TEST(VhdCornerCase, No20_LocatorDataSpaceIsIgnored) {
  for (const std::uint32_t space : {0u, 1u, 512u, 0xFFFF'FFFFu}) {
    const auto image = open_image(
        VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd").edit_header([=](DynamicHeader& h) {
          h.parent_locators[0].data_space = space;
        }));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ((*image)->properties().parent->candidates.front().recorded, ".\\a.vhd");
  }
}

TEST(VhdCornerCase, No21_LocatorTextIsLittleEndianAndTheNameBigEndian) {
  const auto image = open_image(
      VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\kind.vhd", "D:\\x\\kind.vhd", "D:\\x\\name.vhd"));
  ASSERT_TRUE(image);
  const auto& candidates = (*image)->properties().parent->candidates;
  ASSERT_EQ(candidates.size(), 3u);
  EXPECT_EQ(candidates[0].recorded, ".\\kind.vhd");
  EXPECT_EQ(candidates[0].kind, ParentCandidate::Kind::kRelative);
  EXPECT_EQ(candidates[1].recorded, "D:\\x\\kind.vhd");
  EXPECT_EQ(candidates[1].kind, ParentCandidate::Kind::kAbsolute);
  EXPECT_EQ(candidates[2].recorded, "name.vhd");
  EXPECT_EQ(candidates[2].kind, ParentCandidate::Kind::kName);
}

TEST(VhdCornerCase, No22_PathsComeOutAsRecorded) {
  const auto image = open_image(VhdBuilder::differencing(kMiB).parent(vhd_id(2), "..\\Größe\\基\\😀.vhd",
                                                                      "\\\\server\\share\\Ärger.vhd"));
  ASSERT_TRUE(image);
  const auto& candidates = (*image)->properties().parent->candidates;
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[0].recorded, "..\\Größe\\基\\😀.vhd");
  EXPECT_EQ(candidates[1].recorded, "\\\\server\\share\\Ärger.vhd");
}

TEST(VhdCornerCase, No23_ParentTimestampZeroIsNotRecorded) {
  const auto base = VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd");
  EXPECT_FALSE(open_image(base).value()->properties().parent->timestamp);
  EXPECT_EQ(open_image(VhdBuilder(base).parent_timestamp(77)).value()->properties().parent->timestamp, 77u);
}

TEST(VhdCornerCase, No24_TheLinkageIsTheParentsUniqueId) {
  const auto parent = open_image(VhdBuilder::dynamic(kMiB).unique_id(vhd_id(9)));
  const auto child = open_image(VhdBuilder::differencing(kMiB).parent(vhd_id(9), ".\\a.vhd"));
  ASSERT_TRUE(parent && child);
  EXPECT_EQ((*child)->properties().parent->linkage, std::vector{(*parent)->properties().identifier});
  EXPECT_NE((*child)->properties().identifier, (*parent)->properties().identifier);
  EXPECT_EQ((*parent)->properties().identifier, (*parent)->properties().virtual_disk_id);
}

TEST(VhdCornerCase, No25_RawParentHasTheNullId) {
  const auto child = open_image(VhdBuilder::differencing(kMiB).parent({}, ".\\raw.img"));
  ASSERT_TRUE(child);
  ASSERT_EQ((*child)->properties().parent->linkage.size(), 1u);
  EXPECT_TRUE((*child)->properties().parent->linkage[0].is_zero());
}

TEST(VhdCornerCase, No26_ChildMapsBySectorWhateverTheParentsBlockSize) {
  for (const std::uint32_t block : {512u, 4096u, 2u << 20}) {
    const auto image =
        open_image(VhdBuilder::differencing(4 << 20, block).parent(vhd_id(2), ".\\a.vhd").fill(100, 3, 0x26));
    ASSERT_TRUE(image);
    EXPECT_EQ(byte_at(**image, 99 * 512), 0xEE);
    EXPECT_EQ(byte_at(**image, 100 * 512), 0x26);
    EXPECT_EQ(byte_at(**image, 103 * 512 - 1), 0x26);
    EXPECT_EQ(byte_at(**image, 103 * 512), 0xEE);
  }
}

TEST(VhdCornerCase, No28_DifferencingIsNotDynamic) {
  const auto image = open_image(VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd"));
  ASSERT_TRUE(image);
  EXPECT_EQ((*image)->properties().type, DiskType::kDifferencing);
  RunList runs;
  ASSERT_EQ((*image)->resolve_read({DiskOffset{0}, kMiB}, runs).value(), kMiB);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].source, Run::Source::kParent);
}

TEST(VhdCornerCase, No29_SavedStateIsTold) {
  const auto image = open_image(VhdBuilder::fixed(kMiB).edit_footer([](Footer& f) { f.saved_state = 1; }));
  ASSERT_TRUE(image);
  EXPECT_EQ(detail(**image, "saved_state"), "true");
  EXPECT_TRUE(has_note(**image, "do not compact"));
}

TEST(VhdCornerCase, No30_PoisonedDisksAreDisabledNotGarbage) {
  const auto poison = [](Footer& f) { f.cookie = kPoisonCookie; };
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(kMiB).edit_footer(poison)), "vhd.disabled");
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(kMiB).edit_end_footer(poison)), "vhd.disabled");
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(kMiB).edit_front_footer(poison)), "vhd.disabled");
  EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).edit_footer(poison)), "vhd.disabled");
  // In a fixed disk's data it is data; Xen's hidden byte (the saved state's) stops no reader.
  EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).write(DiskOffset{0}, text_bytes("v_poison"))), "");
  EXPECT_EQ(fault_at_open(VhdBuilder::fixed(kMiB).edit_footer([](Footer& f) { f.reserved.fill(0xA5); })), "");
}

TEST(VhdCornerCase, No33_SizesAreKeptToTheByte) {
  for (const std::uint64_t size :
       {std::uint64_t{136'365'211'648}, std::uint64_t{136'365'219'840}, 127 * kGiB + 512}) {
    const auto image = open_image(VhdBuilder::dynamic(size));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, size);
  }
}

TEST(VhdCornerCase, No34_BlocksUpToTheLastAddressableSector) {
  const std::uint64_t at = std::uint64_t{0xFFFF'FFFE} * 512;
  const auto image = open_image(VhdBuilder::dynamic(4 * kBlock, kBlock).first_block_at(at).fill(8, 8, 0x34));
  ASSERT_TRUE(image) << image.error().message();
  RunList runs;
  ASSERT_TRUE((*image)->resolve_read({DiskOffset{kBlock + 5}, 10}, runs));
  EXPECT_EQ(runs[0].from.bytes, at + 512 + 5);
  EXPECT_EQ(byte_at(**image, kBlock), 0x34);
}

TEST(VhdCornerCase, No36_TimestampsCountFrom2000) {
  const auto shown = [](std::uint32_t seconds) {
    return detail(*open_image(VhdBuilder::fixed(kMiB).timestamp(seconds)).value(), "timestamp");
  };
  EXPECT_EQ(shown(0), "2000-01-01 00:00:00 UTC");
  EXPECT_EQ(shown(646'229'134), "2020-06-23 12:05:34 UTC");
  EXPECT_EQ(shown(0xFFFF'FFFF), "2136-02-07 06:28:15 UTC");
}

}  // namespace
}  // namespace vdisk::vhd
