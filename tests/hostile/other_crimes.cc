// SPDX-License-Identifier: Apache-2.0
#include "base/checked.h"
#include "base/utf16.h"
#include "crimes.h"
#include "io/memory_file.h"
#include "testing/iso_builder.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"

namespace vdisk::hostile {

using iso::kSectorBytes;
using iso::VolumeType;
using testing::Disc;
using testing::plain_disc;
using testing::udf_disc;
using testing::vhd_id;
using testing::VhdBuilder;
using testing::VhdxBuilder;
using Stage = Crime::Stage;

Files alone(std::string name, std::unique_ptr<File> file) {
  Files files;
  files.emplace_back(std::move(name), std::move(file));
  return files;
}

namespace {

Crime disc_crime(std::string_view name, std::string_view fault, std::function<Disc()> make,
                 Stage stage = Stage::kOpen) {
  return {name, fault, stage, [make = std::move(make)] { return alone("disc.iso", make().file()); }};
}

Disc udf_without_anchors() {
  Disc disc(600 * kSectorBytes);
  disc.recognition(32768, "BEA01").recognition(32768 + kSectorBytes, "NSR03");
  return disc;
}

Files bytes(const std::string& name, std::vector<std::byte> content) {
  return alone(name, std::make_unique<MemoryFile>(content, name));
}

VhdBuilder child(std::uint8_t id, std::uint8_t parent, const std::string& relative) {
  return VhdBuilder::differencing(kMiB).unique_id(vhd_id(id)).parent(vhd_id(parent), relative);
}

Crime chain_crime(std::string_view name, std::string_view fault, const VhdBuilder& leaf,
                  std::string parent_name = "", std::optional<VhdBuilder> parent = {}) {
  return {name, fault, Stage::kOpen, [=] {
            Files files = alone("image.vhd", leaf.file());
            if (parent) files.emplace_back(parent_name, parent->file());
            return files;
          }};
}

Files sector_sizes_differ() {
  const Guid id{{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}};
  VhdxBuilder parent(8 * kMiB);
  parent.sectors(4096, 4096);
  for (int slot = 0; slot < 2; ++slot) parent.edit_header(slot, [=](auto& h) { h.data_write_guid = id; });
  VhdxBuilder leaf(8 * kMiB);
  leaf.differencing({{u"parent_linkage", *utf8_to_utf16(id.to_string())}, {u"relative_path", u"base.vhdx"}});
  Files files = alone("image.vhdx", leaf.build());
  files.emplace_back("base.vhdx", parent.build());
  return files;
}

/// 300 files, each the child of the next.
Files endless_chain() {
  Files files;
  for (int i = 0; i < 300; ++i) {
    VhdBuilder builder = VhdBuilder::differencing(kMiB);
    testing::VhdId id{};
    testing::VhdId next{};
    id[0] = static_cast<std::uint8_t>(i % 250 + 1);
    id[1] = static_cast<std::uint8_t>(i / 250 + 1);
    next[0] = static_cast<std::uint8_t>((i + 1) % 250 + 1);
    next[1] = static_cast<std::uint8_t>((i + 1) / 250 + 1);
    builder.unique_id(id).parent(next, ".\\" + std::to_string(i + 1) + ".vhd");
    files.emplace_back(std::to_string(i) + ".vhd", builder.file());
  }
  return files;
}

}  // namespace

std::vector<Crime> iso_crimes() {
  return {
      disc_crime("iso-of-odd-length", "iso.size_multiple",
                 [] { return plain_disc().resize(32 * kSectorBytes + 3); }),
      disc_crime("iso-too-small", "iso.too_small", [] { return Disc(16 * kSectorBytes); }),
      disc_crime("iso-empty", "iso.too_small", [] { return Disc(0); }),
      disc_crime("iso-of-zeros", "iso.no_volume", [] { return Disc(32 * kSectorBytes); }),
      disc_crime("iso-of-raw-sectors", "iso.raw_sectors",
                 [] { return Disc(20 * 2352).put(16 * 2352 + 16, Disc::iso(VolumeType::kPrimary)); }),
      disc_crime(
          "iso-cut-short", "iso.truncated", [] { return plain_disc(64).resize(40 * kSectorBytes); },
          Stage::kCheck),
      disc_crime(
          "iso-without-terminator", "iso.no_terminator",
          [] { return Disc(32 * kSectorBytes).add(16, VolumeType::kPrimary); }, Stage::kCheck),
      // Descriptors to the end, none of which ends the sequence.
      disc_crime(
          "iso-of-ten-thousand-descriptors", "iso.no_terminator",
          [] {
            Disc disc(10'000 * kSectorBytes);
            for (unsigned i = 16; i < 10'000; ++i) disc.add(i, VolumeType::kPrimary, 1, 10'000);
            return disc;
          },
          Stage::kCheck),
      disc_crime(
          "iso-sizes-disagree", "iso.both_endian",
          [] {
            auto descriptor = Disc::iso(VolumeType::kPrimary, 1, 32);
            descriptor.volume_space_blocks = {32U, 33U};
            return plain_disc().put(16 * kSectorBytes, descriptor);
          },
          Stage::kCheck),
      disc_crime("udf-without-anchor", "iso.no_anchor", udf_without_anchors, Stage::kCheck),
      disc_crime(
          "udf-with-one-anchor", "iso.one_anchor",
          [] { return udf_without_anchors().anchor(2048, 256, 300, 0); }, Stage::kCheck),
      disc_crime(
          "udf-sequence-at-the-end-of-space", "iso.no_logical_volume",
          [] { return udf_without_anchors().anchor(2048, 256, 0xFFFF'FFFF, 0x1F'FFFF); }, Stage::kCheck),
      disc_crime(
          "udf-anchor-crc", "iso.anchor_crc",
          [] {
            Disc disc = udf_disc(2048);
            auto anchor = load<iso::UdfAnchor>(std::span(disc.bytes()).subspan(256 * kSectorBytes));
            anchor.tag.crc_length = std::uint16_t{16};
            anchor.tag.checksum = static_cast<std::uint8_t>(anchor.tag.checksum + 16);
            return disc.put(256 * kSectorBytes, anchor);
          },
          Stage::kCheck),
  };
}

std::vector<Crime> chain_crimes() {
  const auto base = VhdBuilder::dynamic(kMiB).unique_id(vhd_id(1)).fill(0, 1, 1);
  return {
      chain_crime("chain-parent-missing", "chain.parent_not_found", child(2, 1, ".\\gone.vhd")),
      chain_crime("chain-parent-is-a-device", "chain.parent_not_found", child(2, 1, "/dev/zero")),
      chain_crime("chain-parent-is-a-uri", "chain.parent_not_found",
                  child(2, 1, "http://example.org/base.vhd")),
      chain_crime("chain-parent-out-of-the-tree", "chain.parent_not_found",
                  child(2, 1, "..\\..\\..\\..\\..\\..\\etc\\passwd")),
      chain_crime("chain-another-parent", "chain.identity_mismatch", child(2, 1, ".\\base.vhd"), "base.vhd",
                  VhdBuilder(base).unique_id(vhd_id(9))),
      chain_crime("chain-own-parent", "chain.cycle", child(2, 2, ".\\image.vhd")),
      chain_crime("chain-two-in-a-circle", "chain.cycle", child(2, 1, ".\\base.vhd"), "base.vhd",
                  child(1, 2, ".\\image.vhd")),
      chain_crime("chain-parent-damaged", "vhd.header.checksum", child(2, 1, ".\\base.vhd"), "base.vhd",
                  VhdBuilder(base).break_header()),
      {"chain-sector-sizes-differ", "chain.sector_size", Stage::kOpen, sector_sizes_differ},
      {"chain-of-three-hundred", "chain.too_deep", Stage::kOpen, endless_chain},
  };
}

std::vector<Crime> detection_crimes() {
  return {
      {"nothing", "format.unrecognised", Stage::kOpen, [] { return bytes("image", {}); }},
      {"zeros-without-a-name", "format.unrecognised", Stage::kOpen,
       [] { return bytes("image", std::vector<std::byte>(64 * kKiB)); }},
      {"vhd-that-is-a-vhdx", "vhd.footer.missing", Stage::kOpen,
       [] { return alone("image.vhd", VhdxBuilder(8 * kMiB).build()); }},
      {"vhdx-that-is-a-vhd", "vhdx.identifier", Stage::kOpen,
       [] { return alone("image.vhdx", VhdBuilder::fixed(kMiB).file()); }},
      {"iso-that-is-a-vhdx", "iso.no_volume", Stage::kOpen,
       [] { return alone("image.iso", VhdxBuilder(8 * kMiB).build()); }},
      {"vhd-set", "vhdset.unknown_layout", Stage::kOpen,
       [] { return bytes("image.vhds", std::vector<std::byte>(64 * kKiB)); }},
  };
}

std::vector<Crime> crimes() {
  std::vector<Crime> all;
  for (auto* list :
       {&vhd_crimes, &vhdx_crimes, &vhdx_log_crimes, &iso_crimes, &chain_crimes, &detection_crimes}) {
    std::vector<Crime> more = (*list)();
    std::ranges::move(more, std::back_inserter(all));
  }
  return all;
}

}  // namespace vdisk::hostile
