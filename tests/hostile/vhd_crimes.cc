// SPDX-License-Identifier: Apache-2.0
#include "base/checked.h"
#include "crimes.h"
#include "io/memory_file.h"
#include "testing/vhd_builder.h"

namespace vdisk::hostile {

using testing::vhd_id;
using testing::VhdBuilder;
using vhd::DynamicHeader;
using vhd::Footer;
using Stage = Crime::Stage;

namespace {

constexpr std::uint32_t kBlock = 4096;

VhdBuilder fixed() { return VhdBuilder::fixed(kMiB); }
VhdBuilder dynamic() {
  return VhdBuilder::dynamic(64 * kBlock, kBlock).windows_alignment().fill(8, 24, 0x42);
}
VhdBuilder header(const std::function<void(DynamicHeader&)>& edit) { return dynamic().edit_header(edit); }
VhdBuilder footer(const std::function<void(Footer&)>& edit) { return dynamic().edit_footer(edit); }
VhdBuilder child() { return VhdBuilder::differencing(64 * kBlock, kBlock).parent(vhd_id(2), ".\\gone.vhd"); }

Crime crime(std::string_view name, std::string_view fault, const VhdBuilder& builder,
            Stage stage = Stage::kOpen, std::string file = "image.vhd") {
  return {name, fault, stage, [=] { return alone(file, builder.file(file)); }};
}

std::vector<Crime> footers() {
  return {
      crime("vhd-footer-zeroed", "vhd.footer.missing",
            fixed().omit_end_footer().append(std::vector<std::byte>(512))),
      crime("vhd-footer-cut-off", "vhd.footer.missing", fixed().omit_end_footer()),
      crime("vhd-footer-checksum", "vhd.footer.checksum", fixed().break_end_footer()),
      crime("vhd-both-footers-checksum", "vhd.footer.checksum",
            dynamic().break_end_footer().break_front_footer()),
      crime("vhd-footer-of-the-future", "vhd.footer.version",
            footer([](Footer& f) { f.format_version = 0x20000; })),
      crime("vhd-header-upon-the-footer", "vhd.footer.corrupt", footer([](Footer& f) { f.data_offset = 0; })),
      crime("vhd-header-at-the-end-of-space", "vhd.footer.corrupt",
            footer([](Footer& f) { f.data_offset = ~std::uint64_t{511}; })),
      crime("vhd-footers-of-two-sizes", "vhd.footer.differ",
            dynamic().edit_front_footer([](Footer& f) { f.current_size = 32 * kBlock; }), Stage::kCheck),
      crime("vhd-front-footer-spoiled", "vhd.footer.copy", dynamic().break_front_footer(), Stage::kCheck),
      crime("vhd-bytes-behind-the-footer", "vhd.footer.trailing_bytes",
            fixed().append(std::vector<std::byte>(4096)), Stage::kCheck),
      crime("vhd-poisoned", "vhd.disabled",
            footer([](Footer& f) { f.cookie = {'v', '_', 'p', 'o', 'i', 's', 'o', 'n'}; })),
      crime("vhd-second-part-of-a-split-disk", "vhd.split",
            fixed().edit_footer([](Footer& f) { f.current_size = 2 * kMiB; }), Stage::kOpen, "image.v01"),
      crime("vhd-type-of-no-disk", "vhd.type", footer([](Footer& f) { f.disk_type = 5; })),
      crime("vhd-size-of-all-ones", "vhd.size",
            footer([](Footer& f) { f.current_size = ~std::uint64_t{0}; })),
      crime("vhd-size-zero", "vhd.size", footer([](Footer& f) { f.current_size = 0; })),
      crime("vhd-fixed-cut-short", "vhd.file_size",
            fixed().edit_footer([](Footer& f) { f.current_size = 2 * kMiB; })),
      crime("vhd-length-odd", "vhd.file_length", fixed().short_footer(), Stage::kCheck),
      crime("vhd-machine-saved-on-it", "vhd.saved_state", footer([](Footer& f) { f.saved_state = 1; }),
            Stage::kCheck),
  };
}

std::vector<Crime> tables() {
  const auto base = dynamic();
  const auto at = [&](std::uint32_t block) { return static_cast<std::uint32_t>(base.block_at(block) / 512); };
  return {
      crime("vhd-header-checksum", "vhd.header.checksum", dynamic().break_header()),
      crime("vhd-header-of-the-future", "vhd.header.version",
            header([](auto& h) { h.header_version = 0x20000; })),
      crime("vhd-header-without-cookie", "vhd.header.corrupt", header([](auto& h) { h.cookie[0] = 'C'; })),
      crime("vhd-block-size-zero", "vhd.block_size", header([](auto& h) { h.block_size = 0; })),
      crime("vhd-block-size-three-halves", "vhd.block_size", header([](auto& h) { h.block_size = 3 << 19; })),
      crime("vhd-table-upon-the-header", "vhd.bat.place", header([](auto& h) { h.table_offset = 512; })),
      crime("vhd-table-at-the-end-of-space", "vhd.bat.place",
            header([](auto& h) { h.table_offset = ~std::uint64_t{511}; })),
      crime("vhd-table-of-16-gibibytes", "vhd.bat.place", header([](auto& h) { h.max_table_entries = ~0U; })),
      crime("vhd-table-too-short", "vhd.bat.count", header([](auto& h) { h.max_table_entries = 7; })),
      crime("vhd-block-upon-the-footer-copy", "vhd.bat.metadata", dynamic().bat_entry(40, 0)),
      crime("vhd-block-upon-the-header", "vhd.bat.metadata", dynamic().bat_entry(40, 1)),
      crime("vhd-block-behind-the-file", "vhd.bat.range", dynamic().bat_entry(40, 0x7000'0000)),
      crime("vhd-block-at-the-last-sector", "vhd.bat.range", dynamic().bat_entry(40, 0xFFFF'FFFE)),
      crime("vhd-two-blocks-at-one-place", "vhd.bat.overlap", dynamic().bat_entry(40, at(2))),
      crime("vhd-two-blocks-a-sector-apart", "vhd.bat.overlap", dynamic().bat_entry(40, at(2) + 1)),
      crime("vhd-last-block-cut", "vhd.block.short",
            VhdBuilder::dynamic(kBlock + 512, kBlock).fill(8, 1, 1).omit_end_footer().cut(7 * 512),
            Stage::kCheck),
      crime("vhd-locator-outside-the-file", "vhd.locator",
            VhdBuilder(child()).edit_header([](auto& h) { h.parent_locators[0].data_offset = kGiB; }),
            Stage::kCheck),
      crime("vhd-locator-of-4-gibibytes", "vhd.locator",
            VhdBuilder(child()).edit_header([](auto& h) { h.parent_locators[0].data_length = ~0U; }),
            Stage::kCheck),
      crime("vhd-space-leaked", "vhd.space.leaked", dynamic().gap_between_blocks(16384), Stage::kCheck),
      crime("vhd-fixed-with-padding", "vhd.space.padding", fixed().padding_before_footer(4096),
            Stage::kCheck),
      crime("vhd-blocks-misaligned", "vhd.alignment", VhdBuilder::dynamic(64 * kBlock, kBlock).fill(8, 8, 1),
            Stage::kCheck),
      crime("vhd-entries-behind-the-disk", "vhd.bat.spare", dynamic().table_entries(70).spare_entry(9),
            Stage::kCheck),
  };
}

}  // namespace

std::vector<Crime> vhd_crimes() {
  std::vector<Crime> all = footers();
  std::vector<Crime> more = tables();
  std::ranges::move(more, std::back_inserter(all));
  return all;
}

}  // namespace vdisk::hostile
