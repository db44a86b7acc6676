// SPDX-License-Identifier: Apache-2.0
//
// Footers, headers and locators that are wrong in one way each; locators of every platform code; the
// geometry.
#include "format/vhd/parse.h"

#include "base/checked.h"
#include "format/vhd/geometry.h"
#include "format/vhd/test_support.h"

namespace vdisk::vhd {
namespace {

using testing::text_bytes;
using testing::utf16le_bytes;
using Kind = ParentCandidate::Kind;

constexpr std::uint32_t kBlock = 4096;

Win32Code code_at_open(const VhdBuilder& builder) {
  const auto image = open_image(builder);
  return image ? 0 : image.error().code();
}

VhdBuilder small() { return VhdBuilder::dynamic(8 * kBlock, kBlock).fill(0, 8, 0x42); }

TEST(VhdFooter, ChecksumOfAFooterOfZerosIsAllOnes) { EXPECT_EQ(checksum_of(Footer{}), 0xFFFF'FFFFu); }

TEST(VhdFooter, MissingIsNotTheSameAsDamaged) {
  EXPECT_EQ(code_at_open(small().break_end_footer().break_front_footer()), 0xC03A0002);
  EXPECT_EQ(code_at_open(VhdBuilder::fixed(kMiB).break_end_footer()), 0xC03A0002);
  EXPECT_EQ(code_at_open(VhdBuilder::fixed(kMiB).omit_end_footer()), 0xC03A0001);
  EXPECT_EQ(code_at_open(small().omit_end_footer().patch(0, zeros(512))), 0xC03A0001);
  for (const std::size_t size : {0u, 1u, 511u, 512u, 513u, 100'000u}) {
    EXPECT_EQ(fault_of(kFormat.open(std::make_unique<MemoryFile>(zeros(size)), ImageOpen{})),
              "vhd.footer.missing");
  }
}

TEST(VhdFooter, OtherVersionIsRefusedUnlessACopyIsKnown) {
  EXPECT_EQ(code_at_open(VhdBuilder::fixed(kMiB).edit_footer([](Footer& f) { f.format_version = 0x20000; })),
            0xC03A0005);
  EXPECT_EQ(code_at_open(small().edit_footer([](Footer& f) { f.format_version = 0; })), 0xC03A0005);
  EXPECT_EQ(fault_at_open(small().edit_end_footer([](Footer& f) { f.format_version = 0x20000; })), "");
  EXPECT_EQ(fault_at_open(small().edit_footer([](Footer& f) { f.format_version = 0x10001; })), "");
}

TEST(VhdFooter, TypesThatDoNotExist) {
  for (const std::uint32_t type : {0u, 1u, 5u, 6u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(code_at_open(small().edit_footer([=](Footer& f) { f.disk_type = type; })), 0xC03A001B) << type;
  }
}

TEST(VhdFooter, SizesThatCannotBe) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{511}, kMiB + 1, ~std::uint64_t{0}}) {
    const auto edit = [=](Footer& f) { f.current_size = size; };
    EXPECT_EQ(code_at_open(VhdBuilder::fixed(kMiB).edit_footer(edit)), 0xC03A0012) << size;
    EXPECT_EQ(code_at_open(small().edit_footer(edit)), 0xC03A0012) << size;
  }
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(kMostSizeBytes, kMostBlockBytes)), "");
  EXPECT_EQ(fault_at_open(VhdBuilder::dynamic(kMostSizeBytes + 512, kMostBlockBytes)), "vhd.size");
  // Azure's fixed disks may be larger than the specification allows.
  const auto azure = open_image(VhdBuilder::fixed(4 * kTiB));
  ASSERT_TRUE(azure) << azure.error().message();
  EXPECT_TRUE(has_note(**azure, "2040 GiB"));
}

TEST(VhdFooter, HeaderOutsideTheFileOrOverTheFooter) {
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{513}, std::uint64_t{511}, kGiB, ~std::uint64_t{511}}) {
    EXPECT_EQ(code_at_open(small().edit_footer([=](Footer& f) { f.data_offset = at; })), 0xC03A0003) << at;
  }
}

TEST(VhdFooter, AFixedDiskWhoseDataBeginsWithAnotherImage) {
  const auto inner = small().bytes();
  const auto image =
      open_image(VhdBuilder::fixed(kMiB).unique_id(vhd_id(7)).write(DiskOffset{0}, inner), true);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ((*image)->properties().type, DiskType::kFixed);
  EXPECT_TRUE((*image)->properties().notes.empty());
}

TEST(VhdFooter, PartsOfSplitImagesAreNamedAsSuch) {
  const auto part = VhdBuilder::fixed(kMiB).edit_footer([](Footer& f) { f.current_size = 2 * kMiB; });
  EXPECT_EQ(fault_of(kFormat.open(part.file("disk.v02"), ImageOpen{})), "vhd.split");
  EXPECT_EQ(fault_of(kFormat.open(std::make_unique<MemoryFile>(zeros(4096), "DISK.V01"), ImageOpen{})),
            "vhd.split");
  EXPECT_EQ(fault_of(kFormat.open(VhdBuilder::fixed(kMiB).file("disk.v02"), ImageOpen{})), "");
}

TEST(VhdFooter, CreatorsAreShownAsRecorded) {
  const auto creator = [](std::string_view application, std::uint32_t version) {
    return open_image(VhdBuilder::fixed(kMiB).creator(application, version, "Mac "))
        .value()
        ->properties()
        .creator;
  };
  EXPECT_EQ(creator("win ", 0x000A0000), "win 10.0");
  EXPECT_EQ(creator({"d2v\0", 4}, 0x00010000), "d2v 1.0");
  EXPECT_EQ(creator("\x01x\xff\"", 3), "\\x01x\\xff\" 0.3");
}

TEST(VhdFooter, XensBatmapIsTold) {
  const auto image = open_image(small().xen_batmap());
  ASSERT_TRUE(image);
  EXPECT_EQ(detail(**image, "xen_batmap").substr(0, 14), "version 1.2 at");
  EXPECT_EQ(detail(*open_image(small()).value(), "xen_batmap"), "(none)");
}

TEST(VhdHeader, DamageOfEachKind) {
  EXPECT_EQ(code_at_open(small().break_header()), 0xC03A0006);
  EXPECT_EQ(code_at_open(small().edit_header([](DynamicHeader& h) { h.header_version = 0x20000; })),
            0xC03A0007);
  EXPECT_EQ(code_at_open(small().edit_header([](DynamicHeader& h) { h.cookie[0] = 'C'; })), 0xC03A0008);
  EXPECT_EQ(fault_at_open(small().break_header()), "vhd.header.checksum");
  EXPECT_EQ(fault_at_open(small().edit_header([](DynamicHeader& h) { h.data_offset = 0; })), "");
}

TEST(VhdHeader, BlockSizes) {
  for (const std::uint32_t size : {0u, 1u, 256u, 513u, 3u << 19, 512u << 20, 0x8000'0000u, ~0u}) {
    EXPECT_EQ(code_at_open(small().edit_header([=](DynamicHeader& h) { h.block_size = size; })), 0xC03A000B)
        << size;
  }
}

TEST(VhdHeader, TablesThatCannotBe) {
  EXPECT_EQ(fault_at_open(small().edit_header([](DynamicHeader& h) { h.max_table_entries = 7; })),
            "vhd.bat.count");
  const auto with_table = [](std::uint64_t at) {
    return small().edit_header([=](DynamicHeader& h) { h.table_offset = at; });
  };
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{512}, std::uint64_t{1024},
                                 std::uint64_t{1537}, kGiB, ~std::uint64_t{511}}) {
    EXPECT_EQ(fault_at_open(with_table(at)), "vhd.bat.place") << at;
  }
  EXPECT_EQ(fault_at_open(small().edit_header([](DynamicHeader& h) { h.max_table_entries = ~0u; })),
            "vhd.bat.place");
  EXPECT_EQ(code_at_open(with_table(0)), 0xC03A000A);
}

TEST(VhdHeader, PartsMayLieInAnyOrder) {
  const auto child =
      VhdBuilder::differencing(8 * kBlock, kBlock).parent(vhd_id(2), ".\\a.vhd").fill(9, 1, 0x99);
  for (const auto& builder :
       {VhdBuilder(child).locators_first(), VhdBuilder(child).header_at(4096).table_at(512),
        VhdBuilder(child).table_at(0x20000).first_block_at(0x8000)}) {
    const auto image = open_image(builder);
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ(byte_at(**image, 9 * 512), 0x99);
    EXPECT_EQ((*image)->properties().parent->candidates.size(), 1u);
  }
}

TEST(VhdLocator, EveryPlatformCodeInTheOrderInWhichTheyAreTried) {
  auto builder = VhdBuilder::differencing(kMiB);
  const auto add = [&](Platform code, std::vector<std::byte> payload) {
    builder.locator(static_cast<std::uint32_t>(code), std::move(payload));
  };
  builder.parent(vhd_id(3), "", "", "D:\\disks\\base.vhd");
  add(Platform::kWi2k, text_bytes("C:\\old\\\xE4.vhd"));  // Latin-1
  add(Platform::kWi2r, text_bytes(".\\old.vhd"));
  add(Platform::kMac, text_bytes("alias"));
  add(Platform::kMacX, text_bytes("file://localhost/images/a%20b%C3%A4%2.vhd"));
  add(Platform::kW2ku, utf16le_bytes("C:\\disks\\base.vhd"));
  add(Platform::kW2ru, utf16le_bytes(".\\base.vhd"));
  const auto image = open_image(builder);
  ASSERT_TRUE(image) << image.error().message();
  const auto& candidates = (*image)->properties().parent->candidates;
  const std::vector<std::tuple<Kind, std::string, std::string>> expected = {
      {Kind::kRelative, ".\\base.vhd", "W2ru"},        {Kind::kAbsolute, "C:\\disks\\base.vhd", "W2ku"},
      {Kind::kAbsolute, "/images/a bä%2.vhd", "MacX"}, {Kind::kRelative, ".\\old.vhd", "Wi2r"},
      {Kind::kAbsolute, "C:\\old\\ä.vhd", "Wi2k"},     {Kind::kName, "base.vhd", "parent_unicode_name"}};
  ASSERT_EQ(candidates.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(std::tuple(candidates[i].kind, candidates[i].recorded, candidates[i].source), expected[i]) << i;
  }
  EXPECT_EQ((*image)->properties().parent->linkage, std::vector{unique_id_to_guid(vhd_id(3))});
  EXPECT_TRUE((*image)->properties().notes.empty());
}

TEST(VhdLocator, UrlsOfBlktapMayBeRelative) {
  const auto image = open_image(VhdBuilder::differencing(kMiB).locator(
      static_cast<std::uint32_t>(Platform::kMacX), text_bytes("file://./base.vhd")));
  ASSERT_TRUE(image);
  EXPECT_EQ((*image)->properties().parent->candidates[0].kind, Kind::kRelative);
  EXPECT_EQ((*image)->properties().parent->candidates[0].recorded, "./base.vhd");
}

TEST(VhdLocator, TextEndsAtItsFirstNul) {
  auto text = utf16le_bytes(".\\base.vhd");
  text.resize(text.size() + 10);
  const auto image = open_image(
      VhdBuilder::differencing(kMiB).locator(static_cast<std::uint32_t>(Platform::kW2ru), std::move(text)));
  ASSERT_TRUE(image);
  EXPECT_EQ((*image)->properties().parent->candidates[0].recorded, ".\\base.vhd");
}

TEST(VhdLocator, UnusableOnesAreIgnoredAndTold) {
  const auto base = VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd", "C:\\a.vhd");
  struct Case {
    std::uint32_t code;
    std::uint32_t length;
    std::uint64_t at;
    const char* note;
  };
  const auto relative = static_cast<std::uint32_t>(Platform::kW2ru);
  for (const Case& c :
       {Case{0x41424344, 4, 512, "platform code 0x41424344 is unknown"}, Case{relative, 0, 512, "empty"},
        Case{relative, 65537, 512, "longer than 65536"}, Case{relative, 8, kGiB, "past the file's end"},
        Case{relative, 8, ~std::uint64_t{0}, "past the file's end"}}) {
    const auto image = open_image(VhdBuilder(base).edit_header([&](DynamicHeader& h) {
      h.parent_locators[1].platform_code = c.code;
      h.parent_locators[1].data_length = c.length;
      h.parent_locators[1].data_offset = c.at;
    }));
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_TRUE(has_note(**image, c.note)) << c.note;
    ASSERT_EQ((*image)->properties().parent->candidates.size(), 1u);
    EXPECT_EQ((*image)->properties().parent->candidates[0].source, "W2ku");
  }
}

TEST(VhdGeometry, TableOfTheFormatSheet) {
  struct Row {
    std::uint64_t bytes;
    Geometry geometry;
    std::uint64_t sectors;
  };
  const Row rows[] = {{3 * kMiB, {90, 4, 17}, 6120},
                      {4 * kMiB, {120, 4, 17}, 8160},
                      {8 * kMiB, {240, 4, 17}, 16320},
                      {10 * kMiB, {301, 4, 17}, 20468},
                      {16 * kMiB, {481, 4, 17}, 32708},
                      {64 * kMiB, {963, 8, 17}, 130968},
                      {100 * kMiB, {1003, 12, 17}, 204612},
                      {128 * kMiB, {963, 16, 17}, 261936},
                      {512 * kMiB, {1040, 16, 63}, 1048320},
                      {1 * kGiB, {2080, 16, 63}, 2096640},
                      {20 * kGiB, {41610, 16, 63}, 41942880},
                      {40 * kGiB, {20560, 16, 255}, 83884800},
                      {66059279ull * 512, {65534, 16, 63}, 66058272},
                      {66059280ull * 512, {16191, 16, 255}, 66059280},
                      {127 * kGiB, {65278, 16, 255}, 266334240},
                      {267382800ull * 512, {65535, 16, 255}, 267382800},
                      {2040 * kGiB, {65535, 16, 255}, 267382800},
                      {200 * kMiB, {825, 16, 31}, 409200}};
  for (const Row& row : rows) {
    EXPECT_EQ(geometry_of(row.bytes), row.geometry) << row.bytes;
    EXPECT_EQ(geometry_of(row.bytes).sector_count(), row.sectors) << row.bytes;
  }
}

TEST(VhdProbe, SaysYesToEverySignatureAndNoToTheRest) {
  const auto probe = [](const VhdBuilder& builder) { return kFormat.probe(*builder.file()).value(); };
  EXPECT_EQ(probe(VhdBuilder::fixed(kMiB)), Probe::kYes);
  EXPECT_EQ(probe(VhdBuilder::fixed(kMiB).break_end_footer()), Probe::kYes);
  EXPECT_EQ(probe(small().omit_end_footer()), Probe::kYes);
  EXPECT_EQ(probe(VhdBuilder::fixed(kMiB).short_footer()), Probe::kYes);
  EXPECT_EQ(probe(VhdBuilder::fixed(kMiB).omit_end_footer()), Probe::kNo);
  EXPECT_EQ(probe(VhdBuilder::fixed(kMiB).append(zeros(4096))), Probe::kNo);
  MemoryFile empty;
  EXPECT_EQ(kFormat.probe(empty).value(), Probe::kNo);
}

TEST(VhdInspect, TellsWhatADamagedImageStillTells) {
  const auto inspect = [](const VhdBuilder& builder, ImageInfo& info) {
    return fault_of(kFormat.inspect(*builder.file(), ImageOpen{}, info));
  };
  ImageInfo bad_footers;
  EXPECT_EQ(inspect(small().break_end_footer().break_front_footer(), bad_footers), "vhd.footer.checksum");
  EXPECT_EQ(bad_footers.type, DiskType::kDynamic);
  EXPECT_EQ(bad_footers.virtual_size_bytes, 8 * kBlock);
  EXPECT_EQ(bad_footers.identifier, unique_id_to_guid(vhd_id(1)));
  EXPECT_EQ(bad_footers.creator, "win 10.0");
  ASSERT_FALSE(bad_footers.notes.empty());

  ImageInfo bad_header;
  const auto child = VhdBuilder::differencing(8 * kBlock, kBlock).parent(vhd_id(2), ".\\a.vhd");
  EXPECT_EQ(inspect(VhdBuilder(child).break_header(), bad_header), "vhd.header.checksum");
  EXPECT_EQ(bad_header.block_size_bytes, kBlock);
  EXPECT_EQ(bad_header.type, DiskType::kDifferencing);

  ImageInfo bad_table;
  EXPECT_EQ(inspect(VhdBuilder(child).allocate(0).bat_entry(2, 1), bad_table), "vhd.bat.metadata");
  ASSERT_TRUE(bad_table.parent);
  EXPECT_EQ(bad_table.parent->locator.candidates.size(), 1u);
  EXPECT_EQ(bad_table.parent->identifier, unique_id_to_guid(vhd_id(2)));

  ImageInfo good;
  EXPECT_EQ(inspect(VhdBuilder::fixed(kMiB), good), "");
  EXPECT_EQ(good.block_size_bytes, 0u);
  EXPECT_EQ(good.details.size(), 5u);

  ImageInfo nothing;
  EXPECT_EQ(inspect(VhdBuilder::fixed(kMiB).omit_end_footer(), nothing), "vhd.footer.missing");
  EXPECT_EQ(nothing.format, FormatId::kVhd);
  EXPECT_FALSE(nothing.virtual_size_bytes);
}

}  // namespace
}  // namespace vdisk::vhd
