// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/vhdx/space_map.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
constexpr Guid kOther{{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}};

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }
std::vector<std::string> found(std::unique_ptr<MemoryFile> file) { return findings(*file); }

TEST(Check, SoundImagesHaveNoFindings) {
  EXPECT_THAT(found(small().build()), IsEmpty());
  EXPECT_THAT(found(small().unknown_region(kOther, 3 * kMiB, false).build()), IsEmpty());
  VhdxBuilder b = VhdxBuilder(5 * kGiB, 2 * kMiB).differencing();
  b.partial(0);
  b.present(1);
  b.partial(2100);
  auto file = b.build();
  const CheckReport report = check(*file);
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.blocks_total, 2560u);
  EXPECT_EQ(report.blocks_allocated, 3u);
  EXPECT_EQ(report.leaked_bytes, 0u);
}

TEST(Check, RedundantCopies) {
  EXPECT_THAT(found(small().bad_header(1).build()), ElementsAre("W vhdx.check.header_copy"));
  EXPECT_THAT(found(small().bad_region_table(1).build()), ElementsAre("W vhdx.check.region_table_copy"));
  EXPECT_THAT(found(small().bad_region_table(0).build()), ElementsAre("W vhdx.check.region_table_copy"));
  const auto differ = [](std::vector<RegionEntryLayout>& entries) { entries[0].flags = 0u; };
  EXPECT_THAT(found(small().edit_region_copy(1, differ).build()),
              ElementsAre("W vhdx.check.region_table_copy"));
}

TEST(Check, DamageThatOpenRefusesToo) {
  EXPECT_THAT(found(std::make_unique<MemoryFile>()), ElementsAre("D vhdx.identifier"));
  EXPECT_THAT(found(small().bad_header(0).bad_header(1).build()), ElementsAre("D vhdx.header.none_valid"));
  EXPECT_THAT(found(small().bad_region_table(0).bad_region_table(1).build()),
              ElementsAre("D vhdx.region.none_valid"));
  EXPECT_THAT(found(small().item(kIncompleteFileItem, kItemIsRequired).build()),
              ElementsAre("D vhdx.incomplete"));
  EXPECT_THAT(found(small().differencing({{u"a", u"b"}}).build()), ElementsAre("D vhdx.locator.linkage"));
  EXPECT_THAT(found(VhdxBuilder(200 * kGiB).edit_regions([](auto& r) { r[0].length = kMiB; }).build()),
              ElementsAre("D vhdx.bat.size"));
}

TEST(Check, DamagedRegionsDoNotHideDamagedMetadata) {
  EXPECT_THAT(found(small().item(kOther, kItemIsRequired).unknown_region(kOther, kMiB, true).build()),
              ElementsAre("D vhdx.region.unknown_required", "D vhdx.metadata.unknown_required"));
}

TEST(Check, EveryBadBatEntryIsFound) {
  VhdxBuilder b(kTiB);
  const std::uint64_t at = b.present(0);
  b.raw_entry(b.payload_index(1), at | 6);
  b.raw_entry(b.payload_index(5000), 5);
  b.raw_entry(b.payload_index(900'000), kMiB | 6);
  EXPECT_THAT(found(b.build()), ElementsAre("D vhdx.bat.overlap", "D vhdx.bat.state", "D vhdx.bat.place"));
  VhdxBuilder d = VhdxBuilder(kTiB).differencing();
  d.present(1, PayloadState::kPartiallyPresent);
  d.present(900'000, PayloadState::kPartiallyPresent);
  const std::uint64_t bitmap = d.bitmap(3);
  d.raw_entry(d.payload_index(900'001), bitmap | 6);
  EXPECT_THAT(found(d.build()),
              ElementsAre("D vhdx.bat.bitmap_missing", "D vhdx.bat.overlap", "D vhdx.bat.bitmap_missing"));
}

TEST(Check, LeakedSpace) {
  VhdxBuilder b = small();
  b.take(3);
  b.present(0);
  auto file = b.build();
  const CheckReport report = check(*file);
  EXPECT_EQ(report.leaked_bytes, 3 * kMiB);
  EXPECT_THAT(findings(*file), ElementsAre("W vhdx.check.leak"));
  EXPECT_FALSE(report.damaged());
}

TEST(Check, Case61AnchoredSpaceIsNotLeaked) {
  VhdxBuilder b = small();
  const std::uint64_t at = b.take(2);
  b.raw_entry(0, at | 3).raw_entry(1, (at + kMiB) | 1);
  EXPECT_THAT(found(b.build()), IsEmpty());
  VhdxBuilder bad = small();
  const std::uint64_t there = bad.take(1);
  bad.raw_entry(0, kMiB | 3);   // Upon the log.
  bad.raw_entry(1, there | 2);  // Case 62: ZERO carries no offset.
  EXPECT_THAT(found(bad.build()),
              ElementsAre("W vhdx.check.anchor", "W vhdx.check.anchor", "W vhdx.check.leak"));
  VhdxBuilder shared = small();
  const std::uint64_t block = shared.present(0);
  shared.raw_entry(1, block | 1);
  EXPECT_THAT(found(shared.build()), ElementsAre("D vhdx.bat.overlap"));
}

TEST(Check, Remarks) {
  VhdxBuilder b = small();
  const std::uint64_t at = b.present(0);
  b.raw_entry(0, at | 6 | 8);
  EXPECT_THAT(found(b.build(b.end_offset() - 512)),
              ElementsAre("N vhdx.check.file_length", "N vhdx.check.reserved"));
  EXPECT_THAT(found(small().edit_header(0, [](HeaderLayout& h) { h.reserved[5] = std::byte{1}; }).build()),
              ElementsAre("N vhdx.check.reserved"));
  EXPECT_THAT(found(small().item(kOther, 0x100).build()), ElementsAre("N vhdx.check.reserved"));
}

TEST(Check, CanBeCancelledAndTellsProgress) {
  auto file = VhdxBuilder(kTiB).build();
  CheckReport report;
  CheckSink sink(report, "x");
  OperationControl control;
  Progress last;
  control.progress = [&](const Progress& p) { last = p; };
  ASSERT_TRUE(kFormat.check(*file, {}, sink, control));
  EXPECT_GT(last.total, 0u);
  EXPECT_EQ(last.done, last.total);
  control.cancellation.cancel();
  const Status status = kFormat.check(*file, {}, sink, control);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), 995u);
}

TEST(Check, BlocksTooFarApartAreSaid) {
  // 64 TiB of 256 MiB blocks, each more than 32 GiB from the next, in a file of nearly 2^54 bytes.
  VhdxBuilder b(64 * kTiB, 256 * kMiB);
  const std::uint64_t first = b.end_offset();
  std::uint64_t end = 0;
  for (std::uint64_t i = 0; i < SpaceMap::kMostPages + 10; ++i) {
    const std::uint64_t at = first + i * 40 * kGiB;
    b.raw_entry(b.payload_index(i), at | 6);
    end = at + 256 * kMiB;
  }
  auto file = b.build(end);
  const auto ids = findings(*file);
  EXPECT_THAT(ids, ElementsAre("W vhdx.check.too_scattered"));
}

TEST(SpaceMap, CountsEachMiBOnce) {
  SpaceMap map;
  EXPECT_EQ(map.claim(10, 256), SpaceMap::Claim::kFree);
  EXPECT_EQ(map.claim(0, 10), SpaceMap::Claim::kFree);
  EXPECT_EQ(map.claim(265, 2), SpaceMap::Claim::kTaken);
  EXPECT_EQ(map.taken(), 267u);
  EXPECT_EQ(map.claim(32767, 2), SpaceMap::Claim::kFree) << "over the edge of a page";
}

TEST(Inspect, TellsWhatDamageLeaves) {
  const auto tell = [](VhdxBuilder b, ImageInfo& info) {
    auto file = b.build();
    const Status status = kFormat.inspect(*file, {}, info);
    return status ? std::string() : std::string(status.error().id());
  };
  ImageInfo whole;
  EXPECT_EQ(tell(small().differencing(), whole), "");
  EXPECT_EQ(whole.format, FormatId::kVhdx);
  EXPECT_EQ(whole.type, DiskType::kDifferencing);
  EXPECT_EQ(whole.allocated_bytes, 0u);
  ASSERT_TRUE(whole.parent);
  EXPECT_EQ(whole.parent->identifier, VhdxBuilder::kParentGuid);
  ASSERT_FALSE(whole.details.empty());
  EXPECT_EQ(whole.details.front(), (std::pair<std::string, std::string>("header_used", "2")));

  ImageInfo incomplete;
  EXPECT_EQ(tell(small().item(kIncompleteFileItem, kItemIsRequired), incomplete), "vhdx.incomplete");
  EXPECT_EQ(incomplete.virtual_size_bytes, 8 * kMiB);
  EXPECT_EQ(incomplete.block_size_bytes, kMiB);

  ImageInfo odd;
  EXPECT_EQ(tell(small().sectors(512, 513), odd), "vhdx.sector_size");
  EXPECT_EQ(odd.virtual_size_bytes, 8 * kMiB);
  EXPECT_EQ(odd.logical_sector_bytes, 512u);
  EXPECT_FALSE(odd.physical_sector_bytes);

  ImageInfo regions;
  EXPECT_EQ(tell(small().bad_region_table(0).bad_region_table(1), regions), "vhdx.region.none_valid");
  EXPECT_EQ(regions.creator, "vdisk tests");
  EXPECT_EQ(regions.identifier, VhdxBuilder::kDataWriteGuid);

  ImageInfo nothing;
  EXPECT_EQ(tell(small().bad_header(0).bad_header(1), nothing), "vhdx.header.none_valid");
  EXPECT_EQ(nothing.format, FormatId::kVhdx);
  EXPECT_TRUE(nothing.details.empty());

  ImageInfo overlap;
  VhdxBuilder b = small();
  const std::uint64_t at = b.present(0);
  b.raw_entry(1, at | 6);
  EXPECT_EQ(tell(std::move(b), overlap), "vhdx.bat.overlap");
  EXPECT_EQ(overlap.type, DiskType::kDynamic);
}

}  // namespace
}  // namespace vdisk::vhdx
