// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/region.h"

#include <gtest/gtest.h>

#include "format/vhdx/layout.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

constexpr Guid kOther{{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}};
using Regions = std::vector<VhdxBuilder::Region>;

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }
std::string fault_of(std::function<void(Regions&)> edit) {
  return open_fault(small().edit_regions(std::move(edit)).build());
}

TEST(Regions, Case39SecondCopyServesWhenTheFirstIsBad) {
  VhdxBuilder b = small();
  b.bad_region_table(0).present(0);
  b.write(0, 1, 7);
  const auto image = must_open(b.build());
  EXPECT_EQ(shown(*image, 0, 1)[0], 7);
  ASSERT_EQ(image->properties().notes.size(), 1u);
  EXPECT_NE(image->properties().notes[0].find("region table 2 is used"), std::string::npos);
  EXPECT_EQ(open_fault(small().bad_region_table(1).build()), "");
  EXPECT_EQ(open_fault(small().bad_region_table(0).bad_region_table(1).build()), "vhdx.region.none_valid");
}

TEST(Regions, Case86CountIsBounded) {
  EXPECT_EQ(open_fault(small().region_count(2048).build()), "vhdx.region.none_valid");
  EXPECT_EQ(open_fault(small().region_count(0xFFFFFFFF).build()), "vhdx.region.none_valid");
}

TEST(Regions, Case41RequiredBitMayBeClear) {
  EXPECT_EQ(fault_of([](Regions& r) { r[0].flags = r[1].flags = 0; }), "");
}

TEST(Regions, AnyOrderOfEntries) {
  EXPECT_EQ(fault_of([](Regions& r) { std::swap(r[0], r[1]); }), "");
}

TEST(Regions, Case43AnyOrderOfPlaces) {
  for (const char* order : {"LMB", "BML", "MBL", "BLM", "MLB"}) {
    VhdxBuilder b(8 * kMiB);
    b.order(order).log_length(3 * kMiB);
    b.present(3);
    b.write(3 * kMiB, 2, 0x5A);
    const auto image = must_open(b.build());
    EXPECT_EQ(shown(*image, 3 * kMiB, 3), (std::vector<int>{0x5A, 0x5A, 0})) << order;
  }
}

TEST(Regions, Case42UnknownOptionalRegionKeepsItsSpace) {
  VhdxBuilder b = small();
  b.order("LUMB").unknown_region(kOther, 2 * kMiB, false);
  const std::uint64_t inside = b.metadata_offset() - kMiB;
  b.raw_entry(0, inside | 6);
  EXPECT_EQ(open_fault(b.build()), "vhdx.bat.place");
  EXPECT_EQ(open_fault(small().unknown_region(kOther, 2 * kMiB, false).build()), "");
}

TEST(Regions, UnknownRequiredRegionIsRefused) {
  EXPECT_EQ(open_fault(small().unknown_region(kOther, kMiB, true).build()), "vhdx.region.unknown_required");
}

TEST(Regions, DuplicatesAndOverlaps) {
  EXPECT_EQ(fault_of([](Regions& r) { r.push_back(r[0]); }), "vhdx.region.duplicate");
  EXPECT_EQ(fault_of([](Regions& r) { r[0].offset = r[1].offset; }), "vhdx.region.overlap");
  EXPECT_EQ(fault_of([](Regions& r) { r[0].offset = kMiB; }), "vhdx.region.overlap") << "upon the log";
}

TEST(Regions, Places) {
  EXPECT_EQ(fault_of([](Regions& r) { r[0].length = 0; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { r[0].length = 4096; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { r[0].offset = 0; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { *r[0].offset += 512; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { r[1].offset = 1000 * kMiB; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { r[1].offset = ~std::uint64_t{0} << 20; }), "vhdx.region.place");
  EXPECT_EQ(fault_of([](Regions& r) { r.push_back({kOther, 0, 0xFFF00000, 1000000 * kMiB}); }), "")
      << "nobody reads it";
}

TEST(Regions, MissingOnes) {
  EXPECT_EQ(fault_of([](Regions& r) { r.pop_back(); }), "vhdx.region.missing");
  EXPECT_EQ(fault_of([](Regions& r) { r.clear(); }), "vhdx.region.missing");
}

TEST(Regions, MostEntriesThatFit) {
  EXPECT_EQ(fault_of([](Regions& r) {
              for (std::uint32_t i = 0; r.size() < kMostRegions; ++i) {
                Guid guid = kOther;
                guid.bytes[0] = static_cast<std::uint8_t>(i);
                guid.bytes[1] = static_cast<std::uint8_t>(i >> 8);
                r.push_back({guid, 0, kMiB, (1000 + std::uint64_t{i}) * kMiB});
              }
            }),
            "");
}

TEST(OccupiedSpace, FindsWhatIsTouched) {
  Header header;
  header.log_length = kMiB;
  header.log_offset = 4 * kMiB;
  const OccupiedSpace space(header, {{kOther, 8 * kMiB, 2 * kMiB, 0}});
  EXPECT_NE(space.find(0, 1), nullptr);
  EXPECT_EQ(space.find(kMiB, 3 * kMiB), nullptr);
  EXPECT_NE(space.find(kMiB, 3 * kMiB + 1), nullptr);
  EXPECT_NE(space.find(4 * kMiB, kMiB), nullptr);
  EXPECT_EQ(space.find(5 * kMiB, 3 * kMiB), nullptr);
  EXPECT_NE(space.find(9 * kMiB, kMiB), nullptr);
  EXPECT_EQ(space.find(10 * kMiB, kTiB), nullptr);
  EXPECT_NE(space.find(2 * kMiB, kTiB), nullptr) << "a range around others";
}

}  // namespace
}  // namespace vdisk::vhdx
