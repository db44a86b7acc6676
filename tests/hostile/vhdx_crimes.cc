// SPDX-License-Identifier: Apache-2.0
#include "base/checked.h"
#include "crimes.h"
#include "io/memory_file.h"
#include "testing/vhdx_builder.h"
#include "testing/vhdx_log_builder.h"

namespace vdisk::hostile {

using testing::LogEntrySpec;
using testing::LogWrite;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;
using vhdx::HeaderLayout;
using vhdx::PayloadState;
using Item = VhdxBuilder::Item;
using Regions = std::vector<VhdxBuilder::Region>;
using Pairs = VhdxBuilder::LocatorPairs;
using Stage = Crime::Stage;

namespace {

constexpr Guid kOther{{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}};
constexpr std::string_view kLinkage = "{040302a1-0605-0807-090a-0b0c0d0e0f10}";

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }

/// `edit` gets a fresh builder.
Crime crime(std::string_view name, std::string_view fault, std::function<void(VhdxBuilder&)> edit,
            Stage stage = Stage::kOpen) {
  return {name, fault, stage, [edit = std::move(edit)] {
            VhdxBuilder builder = small();
            edit(builder);
            return alone("image.vhdx", builder.build());
          }};
}
Crime of(std::string_view name, std::string_view fault, std::function<VhdxBuilder()> make,
         Stage stage = Stage::kOpen) {
  return {name, fault, stage, [make = std::move(make)] { return alone("image.vhdx", make().build()); }};
}
std::function<void(VhdxBuilder&)> headers(std::function<void(HeaderLayout&)> edit) {
  return [=](VhdxBuilder& b) { b.edit_header(0, edit).edit_header(1, edit); };
}
std::function<void(VhdxBuilder&)> regions(std::function<void(Regions&)> edit) {
  return [=](VhdxBuilder& b) { b.edit_regions(edit); };
}
std::function<void(VhdxBuilder&)> item(const Guid& id, std::function<void(Item&)> edit) {
  return [=](VhdxBuilder& b) { b.edit_item(id, edit); };
}
template <class T>
std::vector<std::byte> number(T value) {
  std::vector<std::byte> bytes(sizeof value);
  store(std::span(bytes), Le<T>(value));
  return bytes;
}
Pairs pairs(std::u16string path_key = u"relative_path") {
  return {{u"parent_linkage", std::u16string(kLinkage.begin(), kLinkage.end())}, {path_key, u"gone.vhdx"}};
}

std::vector<Crime> front() {
  return {
      {"vhdx-without-signature", "vhdx.identifier", Stage::kOpen,
       [] {
         auto file = small().build();
         VDISK_ASSERT(file->write(FileOffset{0}, std::vector<std::byte>(8)).has_value());
         return alone("image.vhdx", std::move(file));
       }},
      crime("vhdx-both-headers-spoiled", "vhdx.header.none_valid",
            [](auto& b) { b.bad_header(0).bad_header(1); }),
      crime("vhdx-headers-in-conflict", "vhdx.header.conflict",
            [](auto& b) {
              b.edit_header(0, [](auto& h) { h.sequence_number = std::uint64_t{5}; });
              b.edit_header(1, [](auto& h) {
                h.sequence_number = std::uint64_t{5};
                h.file_write_guid = kOther;
              });
            }),
      crime("vhdx-of-version-2", "vhdx.header.version",
            headers([](auto& h) { h.version = std::uint16_t{2}; })),
      crime("vhdx-log-of-version-1", "vhdx.header.log_version", headers([](auto& h) {
              h.log_version = std::uint16_t{1};
              h.log_guid = kOther;
            })),
      crime("vhdx-log-upon-the-headers", "vhdx.header.log_place",
            headers([](auto& h) { h.log_offset = std::uint64_t{0}; })),
      crime("vhdx-log-at-the-end-of-space", "vhdx.header.log_place",
            headers([](auto& h) { h.log_offset = ~std::uint64_t{0} << 20; })),
      crime("vhdx-both-region-tables-spoiled", "vhdx.region.none_valid",
            [](auto& b) { b.bad_region_table(0).bad_region_table(1); }),
      crime("vhdx-four-billion-regions", "vhdx.region.none_valid",
            [](auto& b) { b.region_count(0xFFFF'FFFF); }),
      crime("vhdx-region-named-twice", "vhdx.region.duplicate", regions([](auto& r) { r.push_back(r[0]); })),
      crime("vhdx-regions-overlap", "vhdx.region.overlap",
            regions([](auto& r) { r[0].offset = r[1].offset; })),
      crime("vhdx-region-upon-the-log", "vhdx.region.overlap", regions([](auto& r) { r[0].offset = kMiB; })),
      crime("vhdx-region-misplaced", "vhdx.region.place", regions([](auto& r) { *r[0].offset += 512; })),
      crime("vhdx-region-at-the-end-of-space", "vhdx.region.place",
            regions([](auto& r) { r[1].offset = ~std::uint64_t{0} << 20; })),
      crime("vhdx-required-region-unknown", "vhdx.region.unknown_required",
            [](auto& b) { b.unknown_region(kOther, kMiB, true); }),
      crime("vhdx-without-regions", "vhdx.region.missing", regions([](auto& r) { r.clear(); })),
      crime(
          "vhdx-header-copy-spoiled", "vhdx.check.header_copy", [](auto& b) { b.bad_header(1); },
          Stage::kCheck),
      crime(
          "vhdx-region-table-copy-spoiled", "vhdx.check.region_table_copy",
          [](auto& b) { b.bad_region_table(0); }, Stage::kCheck),
      crime(
          "vhdx-reserved-bytes-used", "vhdx.check.reserved",
          [](auto& b) { b.edit_header(0, [](auto& h) { h.reserved[5] = std::byte{1}; }); }, Stage::kCheck),
  };
}

std::vector<Crime> metadata() {
  using namespace vhdx;
  return {
      crime("vhdx-metadata-of-65535-entries", "vhdx.metadata.table",
            [](auto& b) { b.metadata_count(65535); }),
      crime("vhdx-metadata-entry-outside", "vhdx.metadata.entry",
            [](auto& b) {
              b.item(kOther, 0).edit_item(kOther, [](Item& i) {
                i.offset = 0xFFFF'FFFF;
                i.length = 0xFFFF'FFFF;
              });
            }),
      crime("vhdx-metadata-overlap", "vhdx.metadata.overlap",
            [](auto& b) {
              b.item(kOther, 0).edit_item(kOther, [](Item& i) {
                i.offset = 0x10004;
                i.length = 8;
              });
            }),
      crime("vhdx-metadata-twice", "vhdx.metadata.duplicate",
            [](auto& b) { b.item(kOther, 0).item(kOther, 0); }),
      crime("vhdx-metadata-required-unknown", "vhdx.metadata.unknown_required",
            [](auto& b) { b.item(kOther, kItemIsRequired); }),
      crime("vhdx-without-a-size", "vhdx.metadata.missing",
            [](auto& b) { b.remove_item(kVirtualDiskSizeItem); }),
      crime("vhdx-size-of-nine-bytes", "vhdx.metadata.item",
            item(kVirtualDiskSizeItem, [](Item& i) { i.content.push_back(std::byte{0}); })),
      crime("vhdx-never-finished", "vhdx.incomplete",
            [](auto& b) { b.item(kIncompleteFileItem, kItemIsRequired); }),
      crime("vhdx-block-size-zero", "vhdx.block_size",
            item(kFileParametersItem, [](Item& i) { i.content.assign(8, std::byte{0}); })),
      crime("vhdx-size-of-all-ones", "vhdx.disk_size",
            item(kVirtualDiskSizeItem, [](Item& i) { i.content = number(~std::uint64_t{0}); })),
      crime("vhdx-size-beyond-its-table", "vhdx.bat.size",
            item(kVirtualDiskSizeItem, [](Item& i) { i.content = number(std::uint64_t{64 * kTiB}); })),
      crime("vhdx-sectors-of-2048", "vhdx.sector_size",
            item(kLogicalSectorSizeItem, [](Item& i) { i.content = number(std::uint32_t{2048}); })),
      crime("vhdx-child-without-locator", "vhdx.locator.missing",
            [](auto& b) { b.differencing().remove_item(kParentLocatorItem); }),
      crime("vhdx-locator-without-child", "vhdx.locator.unexpected",
            [](auto& b) { b.item(kParentLocatorItem, kItemIsRequired, VhdxBuilder::locator_item(pairs())); }),
      crime("vhdx-locator-of-another-kind", "vhdx.locator.type",
            [](auto& b) {
              b.differencing(pairs()).edit_item(kParentLocatorItem, [](Item& i) {
                i.content = VhdxBuilder::locator_item(pairs(), kOther);
              });
            }),
      crime("vhdx-locator-without-identity", "vhdx.locator.linkage",
            [](auto& b) { b.differencing({{u"relative_path", u"gone.vhdx"}}); }),
      crime("vhdx-locator-without-path", "vhdx.locator.no_path",
            [](auto& b) { b.differencing(pairs(u"elsewhere")); }),
      crime("vhdx-locator-of-65535-pairs", "vhdx.locator.malformed",
            [](auto& b) {
              b.differencing(pairs()).edit_item(
                  kParentLocatorItem, [](Item& i) { i.content[18] = i.content[19] = std::byte{0xFF}; });
            }),
  };
}

std::vector<Crime> blocks() {
  using std::uint64_t;
  return {
      crime("vhdx-block-in-a-draft-state", "vhdx.bat.state", [](auto& b) { b.raw_entry(0, 5); }),
      crime("vhdx-block-half-present-without-parent", "vhdx.bat.state",
            [](auto& b) { b.raw_entry(0, b.take(1) | 7); }),
      crime("vhdx-block-upon-the-log", "vhdx.bat.place", [](auto& b) { b.raw_entry(0, b.log_offset() | 6); }),
      crime("vhdx-block-upon-the-table", "vhdx.bat.place",
            [](auto& b) { b.raw_entry(0, b.bat_offset() | 6); }),
      crime("vhdx-block-behind-the-file", "vhdx.bat.place",
            [](auto& b) { b.raw_entry(0, vhdx::kBatOffsetMask | 6); }),
      crime("vhdx-two-blocks-at-one-place", "vhdx.bat.overlap",
            [](auto& b) { b.raw_entry(1, b.present(0) | 6); }),
      crime("vhdx-bitmap-missing", "vhdx.bat.bitmap_missing",
            [](auto& b) { b.differencing(pairs()).present(0, PayloadState::kPartiallyPresent); }),
      of(
          "vhdx-bad-state-in-a-large-table", "vhdx.bat.state",
          [] {
            VhdxBuilder b(256 * kGiB, 1 * kMiB);
            b.raw_entry(b.payload_index(200'000), 5);
            return b;
          },
          Stage::kRead),
      crime(
          "vhdx-anchor-upon-the-log", "vhdx.check.anchor", [](auto& b) { b.raw_entry(0, kMiB | 3); },
          Stage::kCheck),
      crime(
          "vhdx-space-leaked", "vhdx.check.leak",
          [](auto& b) {
            b.take(3);
            b.present(0);
          },
          Stage::kCheck),
      {"vhdx-length-odd", "vhdx.check.file_length", Stage::kCheck,
       [] {
         VhdxBuilder b = small();
         b.present(0);
         return alone("image.vhdx", b.build(b.end_offset() - 512));
       }},
  };
}

struct LogCrime {
  std::function<void(VhdxLogBuilder&)> fill;
  std::uint64_t log_bytes = kMiB;
};
Crime log_crime(std::string_view name, std::string_view fault, std::function<void(VhdxLogBuilder&)> fill,
                Stage stage = Stage::kOpen) {
  return {name, fault, stage, [fill = std::move(fill)] {
            VhdxLogBuilder log;
            VhdxBuilder builder = small();
            builder.log_guid(log.guid());
            builder.present(0);
            const std::uint64_t at = builder.log_offset();
            auto file = builder.build();
            fill(log);
            testing::put_log(*file, at, log);
            return alone("image.vhdx", std::move(file));
          }};
}

}  // namespace

std::vector<Crime> vhdx_crimes() {
  std::vector<Crime> all = front();
  for (auto* list : {&metadata, &blocks}) {
    std::vector<Crime> more = (*list)();
    std::ranges::move(more, std::back_inserter(all));
  }
  return all;
}

std::vector<Crime> vhdx_log_crimes() {
  constexpr std::uint64_t kTarget = 4 * kMiB;
  const auto entry = [](LogEntrySpec spec) {
    return [spec = std::move(spec)](VhdxLogBuilder& log) { log.add(spec); };
  };
  return {
      log_crime("log-named-but-empty", "vhdx.log.empty", [](auto&) {}),
      log_crime("log-of-another-guid", "vhdx.log.empty", entry({.guid = kOther})),
      log_crime("log-with-bad-checksum", "vhdx.log.empty", entry({.bad_checksum = true})),
      log_crime("log-whose-tail-is-gone", "vhdx.log.incomplete",
                entry({.at = 8192, .sequence = 9, .tail = 0})),
      log_crime("log-of-a-longer-file", "vhdx.log.flushed_offset",
                entry({.flushed_file_offset = 900 * kMiB})),
      log_crime("log-upon-the-header", "vhdx.log.target",
                entry({.writes = {LogWrite::pattern(64 * kKiB, 1)}})),
      log_crime("log-upon-itself", "vhdx.log.target", entry({.writes = {LogWrite::pattern(kMiB, 1)}})),
      log_crime("log-at-the-end-of-space", "vhdx.log.target",
                entry({.writes = {LogWrite::pattern(0xFFFF'FFFF'FFFF'F000, 1)}})),
      log_crime("log-zeros-over-all-space", "vhdx.log.target",
                entry({.writes = {LogWrite::zeros(kTarget, 0xFFFF'FFFF'FFFF'F000)}})),
      log_crime("log-grows-the-file-to-all-space", "vhdx.log.file_size",
                entry({.last_file_offset = 0xFFFF'FFFF'FFF0'0000})),
      log_crime("log-entry-claims-all-space", "vhdx.log.empty", entry({.entry_length = 0xFFFF'F000})),
      log_crime("log-claims-four-billion-descriptors", "vhdx.log.empty",
                entry({.descriptor_count = 0xFFFF'FFFF})),
      // Of 2 GiB, sparse: beyond the limit on what is read.
      {"log-too-large", "vhdx.log.too_large", Stage::kOpen,
       [] {
         VhdxBuilder builder = small();
         builder.log_length(0x8000'0000).log_guid(kOther);
         return alone("image.vhdx", builder.build());
       }},
      log_crime("log-pending", "vhdx.log.pending", entry({}), Stage::kCheck),
      log_crime(
          "log-torn", "vhdx.log.torn",
          [](VhdxLogBuilder& log) {
            const std::uint64_t at = log.add({.sequence = 1});
            log.add({.at = at,
                     .sequence = 2,
                     .tail = 0,
                     .writes = {LogWrite::pattern(5 * kMiB, 1)},
                     .torn_after = 4608});
          },
          Stage::kCheck),
      log_crime("log-of-odd-lengths", "vhdx.log.unaligned", entry({.last_file_offset = 3 * kMiB - 5}),
                Stage::kCheck),
  };
}

}  // namespace vdisk::hostile
