// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/check.h"

#include "base/checked.h"
#include "format/vhd/test_support.h"

namespace vdisk::vhd {
namespace {

using Severity = Finding::Severity;
constexpr std::uint32_t kBlock = 4096;

CheckReport check_image(const VhdBuilder& builder) {
  CheckReport report;
  CheckSink sink(report, "test.vhd");
  const auto status = kFormat.check(*builder.file(), ImageOpen{}, sink, OperationControl{});
  EXPECT_TRUE(status) << status.error().message();
  return report;
}

std::size_t count_of(const CheckReport& report, std::string_view fault, Severity severity) {
  return static_cast<std::size_t>(std::ranges::count_if(
      report.findings, [&](const Finding& f) { return f.fault == fault && f.severity == severity; }));
}

VhdBuilder clean() {
  return VhdBuilder::dynamic(64 * kBlock, kBlock)
      .windows_alignment()
      .fill(8, 8, 1)
      .fill(80, 30, 2)
      .fill(3, 1, 3);
}

TEST(VhdCheck, ACleanImageHasNoFindings) {
  const auto report = check_image(clean());
  EXPECT_TRUE(report.findings.empty()) << report.findings[0].message;
  EXPECT_EQ(report.blocks_total, 64u);
  EXPECT_EQ(report.blocks_allocated, 6u);
  EXPECT_EQ(report.leaked_bytes, 0u);
  EXPECT_TRUE(check_image(VhdBuilder::fixed(kMiB)).findings.empty());
  EXPECT_TRUE(check_image(VhdBuilder::differencing(kMiB).parent(vhd_id(2), ".\\a.vhd")).findings.empty());
}

TEST(VhdCheck, FooterCopies) {
  const auto warns = [](const VhdBuilder& builder) {
    const auto report = check_image(builder);
    return !report.damaged() && count_of(report, "vhd.footer.copy", Severity::kWarning) == 1;
  };
  EXPECT_TRUE(warns(clean().break_end_footer()));
  EXPECT_TRUE(warns(clean().omit_end_footer()));
  EXPECT_TRUE(warns(clean().break_front_footer()));
  EXPECT_TRUE(warns(clean().patch(0, zeros(512))));
  EXPECT_TRUE(warns(clean().edit_front_footer([](Footer& f) { f.timestamp = 1; })));
  const auto differ = check_image(clean().edit_front_footer([](Footer& f) { f.current_size = 4096; }));
  EXPECT_EQ(count_of(differ, "vhd.footer.differ", Severity::kDamage), 1u);
  EXPECT_EQ(count_of(check_image(VhdBuilder::fixed(kMiB).append(zeros(512))), "vhd.footer.trailing_bytes",
                     Severity::kDamage),
            1u);
  EXPECT_EQ(
      count_of(check_image(VhdBuilder::fixed(kMiB).short_footer()), "vhd.file_length", Severity::kWarning),
      1u);
  EXPECT_EQ(count_of(check_image(clean().edit_footer([](Footer& f) { f.saved_state = 1; })),
                     "vhd.saved_state", Severity::kNote),
            1u);
}

TEST(VhdCheck, WhatOpenRefusesIsDamage) {
  EXPECT_EQ(count_of(check_image(clean().break_header()), "vhd.header.checksum", Severity::kDamage), 1u);
  EXPECT_EQ(count_of(check_image(VhdBuilder::fixed(kMiB).omit_end_footer()), "vhd.footer.missing",
                     Severity::kDamage),
            1u);
}

TEST(VhdCheck, EveryBadEntryIsFound) {
  const auto base = clean();
  const auto sector = [&](std::uint32_t block) {
    return static_cast<std::uint32_t>(base.block_at(block) / 512);
  };
  const auto report = check_image(VhdBuilder(base)
                                      .bat_entry(40, 0)
                                      .bat_entry(41, 0x7000'0000)
                                      .bat_entry(42, sector(10))
                                      .bat_entry(43, sector(11) + 1)
                                      .bat_entry(44, 3));
  EXPECT_EQ(count_of(report, "vhd.bat.metadata", Severity::kDamage), 2u);
  EXPECT_EQ(count_of(report, "vhd.bat.range", Severity::kDamage), 1u);
  // 42 lies on 10, 43 begins in 11, 44 in 40, and the file's first block in 44.
  EXPECT_EQ(count_of(report, "vhd.bat.overlap", Severity::kDamage), 4u);
}

TEST(VhdCheck, OverlapsOfLargeTablesAreFoundHere) {
  const auto base = VhdBuilder::dynamic(256 * kMiB, 512).fill(7, 3, 1);
  const auto doubled =
      VhdBuilder(base).bat_entry(400'000, static_cast<std::uint32_t>(base.block_at(8) / 512));
  EXPECT_EQ(fault_at_open(doubled), "");
  const auto report = check_image(doubled);
  EXPECT_EQ(count_of(report, "vhd.bat.overlap", Severity::kDamage), 1u);
  EXPECT_EQ(report.blocks_allocated, 4u);
}

TEST(VhdCheck, BlocksBeyondTheFirstWindow) {
  const std::uint64_t far = 100 * kGiB;
  const auto base = VhdBuilder::dynamic(64 * kBlock, kBlock).first_block_at(far).fill(0, 64, 1);
  const auto report = check_image(base);
  EXPECT_FALSE(report.damaged());
  EXPECT_EQ(report.blocks_allocated, 8u);
  EXPECT_EQ(report.leaked_bytes, far - base.table_offset() - 512);
  const auto doubled = VhdBuilder(base).bat_entry(50, static_cast<std::uint32_t>(base.block_at(2) / 512 + 1));
  EXPECT_EQ(count_of(check_image(doubled), "vhd.bat.overlap", Severity::kDamage), 2u);
}

TEST(VhdCheck, LeaksPaddingAndAlignment) {
  const auto leaky =
      check_image(VhdBuilder::dynamic(64 * kBlock, kBlock).gap_between_blocks(16384).fill(0, 16, 1));
  EXPECT_EQ(leaky.leaked_bytes, 2u * 16384);
  EXPECT_EQ(count_of(leaky, "vhd.space.leaked", Severity::kWarning), 2u);
  EXPECT_EQ(count_of(leaky, "vhd.alignment", Severity::kNote), 1u);
  const auto padded = check_image(VhdBuilder::fixed(kMiB).padding_before_footer(4096));
  EXPECT_EQ(count_of(padded, "vhd.space.padding", Severity::kNote), 1u);
  EXPECT_EQ(padded.leaked_bytes, 4096u);
  // What a locator reserves is no leak, nor is Xen's batmap.
  EXPECT_EQ(check_image(VhdBuilder::differencing(kMiB)
                            .parent(vhd_id(2), ".\\a.vhd")
                            .first_block_at(0x12000)
                            .edit_header([](DynamicHeader& h) { h.parent_locators[0].data_space = 65536; }))
                .leaked_bytes,
            0u);
  EXPECT_TRUE(check_image(clean().xen_batmap()).findings.empty());
}

TEST(VhdCheck, SpareEntriesAndShortBlocks) {
  const auto spare = check_image(VhdBuilder::dynamic(64 * kBlock, kBlock).table_entries(70).spare_entry(9));
  EXPECT_EQ(count_of(spare, "vhd.bat.spare", Severity::kNote), 1u);
  const auto base = VhdBuilder::dynamic(kBlock + 512, kBlock).fill(8, 1, 1);
  const auto shortened = check_image(VhdBuilder(base).omit_end_footer().cut(7 * 512));
  EXPECT_EQ(count_of(shortened, "vhd.block.short", Severity::kDamage), 1u);
}

TEST(VhdCheck, Locators) {
  const auto base = VhdBuilder::differencing(kMiB).parent(vhd_id(2), "a.vhd");
  EXPECT_EQ(count_of(check_image(base), "vhd.locator", Severity::kNote), 1u);
  const auto outside =
      VhdBuilder(base).edit_header([](DynamicHeader& h) { h.parent_locators[0].data_offset = kGiB; });
  EXPECT_EQ(count_of(check_image(outside), "vhd.locator", Severity::kWarning), 1u);
  EXPECT_EQ(count_of(check_image(outside), "vhd.locator", Severity::kDamage), 1u);
  EXPECT_EQ(
      count_of(check_image(VhdBuilder(base).locator(0x41424344, zeros(4))), "vhd.locator", Severity::kNote),
      2u);
}

TEST(VhdCheck, TellsProgressAndCanBeCancelled) {
  const auto file = VhdBuilder::dynamic(256 * kMiB, 512).file();
  CheckReport report;
  CheckSink sink(report, "test.vhd");
  OperationControl control;
  std::vector<Progress> seen;
  control.progress = [&](const Progress& progress) {
    seen.push_back(progress);
    if (seen.size() == 3) control.cancellation.cancel();
  };
  EXPECT_EQ(fault_of(kFormat.check(*file, ImageOpen{}, sink, control)), "base.cancelled");
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_LT(seen[0].done, seen[1].done);
  EXPECT_LE(seen[2].done, seen[2].total);
}

}  // namespace
}  // namespace vdisk::vhd
