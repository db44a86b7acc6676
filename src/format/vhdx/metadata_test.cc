// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/metadata.h"

#include <gtest/gtest.h>

#include "format/vhdx/layout.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

using Item = VhdxBuilder::Item;
using Pairs = VhdxBuilder::LocatorPairs;
constexpr Guid kOther{{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}};

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }
std::vector<std::byte> bytes(std::size_t count) { return std::vector<std::byte>(count, std::byte{1}); }

template <class T>
std::vector<std::byte> number(T value) {
  const Le<T> stored(value);
  const auto b = bytes_of(stored);
  return {b.begin(), b.end()};
}

std::string fault_of(const Guid& id, const std::function<void(Item&)>& edit) {
  return open_fault(small().edit_item(id, edit).build());
}

TEST(Metadata, TableSignatureAndCount) {
  VhdxBuilder b = small();
  const std::uint64_t at = b.metadata_offset();
  auto file = b.build();
  ASSERT_TRUE(file->write(FileOffset{at}, bytes(1)));
  EXPECT_EQ(open_fault(std::move(file)), "vhdx.metadata.table");
  EXPECT_EQ(open_fault(small().metadata_count(2048).build()), "vhdx.metadata.table");
}

TEST(Metadata, Case70StaleEntriesAnyOrderAnyAlignment) {
  EXPECT_EQ(
      open_fault(small().stale_entry(kIncompleteFileItem, kItemIsRequired).stale_entry(kOther, 7).build()),
      "");
  VhdxBuilder b = small();
  b.remove_item(kFileParametersItem).item(kOther, 0, bytes(3)).item(kFileParametersItem, kItemIsRequired, [] {
    const FileParametersLayout stored{.block_size = static_cast<std::uint32_t>(kMiB), .flags = 0u};
    const auto s = bytes_of(stored);
    return std::vector<std::byte>(s.begin(), s.end());
  }());
  EXPECT_EQ(open_fault(b.build()), "");
}

TEST(Metadata, Case71IncompleteFileIsRefused) {
  const auto image = open(small().item(kIncompleteFileItem, kItemIsRequired).build());
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().id(), "vhdx.incomplete");
  EXPECT_NE(image.error().message().find("creation was not finished"), std::string::npos);
}

TEST(Metadata, Case72UnknownItems) {
  EXPECT_EQ(open_fault(small().item(kOther, 0, bytes(100)).build()), "");
  EXPECT_EQ(open_fault(small().item(kOther, kItemIsUser, bytes(100)).build()), "");
  EXPECT_EQ(open_fault(small().item(kOther, kItemIsRequired).build()), "vhdx.metadata.unknown_required");
  EXPECT_EQ(open_fault(small().item(kOther, kItemIsRequired | kItemIsUser, bytes(1)).build()),
            "vhdx.metadata.unknown_required");
}

TEST(Metadata, Case73UserAndSystemItemOfOneId) {
  EXPECT_EQ(open_fault(small().item(kOther, 0, bytes(1)).item(kOther, kItemIsUser, bytes(1)).build()), "");
  EXPECT_EQ(open_fault(small().item(kVirtualDiskSizeItem, kItemIsUser, bytes(8)).build()), "")
      << "not the system's";
  EXPECT_EQ(open_fault(small().item(kOther, 0, bytes(1)).item(kOther, 0, bytes(1)).build()),
            "vhdx.metadata.duplicate");
  EXPECT_EQ(open_fault(small().item(kOther, kItemIsUser).item(kOther, kItemIsUser).build()),
            "vhdx.metadata.duplicate");
}

TEST(Metadata, Case74ItemOfNoLengthHasOffsetZero) {
  EXPECT_EQ(open_fault(small().item(kOther, 0).build()), "");
  EXPECT_EQ(
      open_fault(small().item(kOther, 0).edit_item(kOther, [](Item& i) { i.offset = 0x20000; }).build()),
      "vhdx.metadata.entry");
}

TEST(Metadata, EntriesOutOfBounds) {
  const auto fault = [](std::uint32_t offset, std::uint32_t length) {
    return open_fault(small()
                          .item(kOther, 0)
                          .edit_item(kOther,
                                     [=](Item& i) {
                                       i.offset = offset;
                                       i.length = length;
                                     })
                          .build());
  };
  EXPECT_EQ(fault(0xFFFF, 1), "vhdx.metadata.entry");
  EXPECT_EQ(fault(kMiB - 1, 2), "vhdx.metadata.entry");
  EXPECT_EQ(fault(0xFFFFFFFF, 0xFFFFFFFF), "vhdx.metadata.entry");
  EXPECT_EQ(fault(kMiB - 1, 1), "");
  EXPECT_EQ(open_fault(small().item(Guid{}, 0).build()), "vhdx.metadata.entry");
  EXPECT_EQ(fault(0x10004, 8), "vhdx.metadata.overlap");
}

TEST(Metadata, Case86AtMost1024UserItems) {
  const auto with = [](std::uint32_t count) {
    VhdxBuilder b = small();
    for (std::uint32_t i = 0; i < count; ++i) {
      Guid guid = kOther;
      guid.bytes[0] = static_cast<std::uint8_t>(i);
      guid.bytes[1] = static_cast<std::uint8_t>(i >> 8);
      b.item(guid, kItemIsUser, bytes(1));
    }
    return open_fault(b.build());
  };
  EXPECT_EQ(with(1024), "");
  EXPECT_EQ(with(1025), "vhdx.metadata.entry");
}

TEST(Metadata, MissingAndMisshapenItems) {
  for (const Guid& id : {kFileParametersItem, kVirtualDiskSizeItem, kVirtualDiskIdItem,
                         kLogicalSectorSizeItem, kPhysicalSectorSizeItem}) {
    EXPECT_EQ(open_fault(small().remove_item(id).build()), "vhdx.metadata.missing") << id.to_string();
    EXPECT_EQ(fault_of(id, [](Item& i) { i.content.push_back(std::byte{0}); }), "vhdx.metadata.item");
    EXPECT_EQ(fault_of(id, [](Item& i) { i.flags ^= kItemIsVirtualDisk; }), "vhdx.metadata.item");
    const bool lax = id == kPhysicalSectorSizeItem;  // Case 41.
    EXPECT_EQ(fault_of(id, [](Item& i) { i.flags &= ~kItemIsRequired; }), lax ? "" : "vhdx.metadata.item");
  }
}

TEST(Metadata, BlockSizes) {
  for (std::uint32_t block = kMiB; block <= 256 * kMiB; block *= 2) {
    EXPECT_EQ(open_fault(VhdxBuilder(8 * kMiB, block).build()), "") << block;
  }
  for (const std::uint32_t block : {std::uint32_t{0}, std::uint32_t{kMiB / 2}, std::uint32_t{3 * kMiB},
                                    std::uint32_t{512 * kMiB}, std::uint32_t{kMiB + 1}}) {
    auto file =
        small()
            .edit_item(kFileParametersItem, [&](Item& i) { i.content = number(std::uint64_t{block}); })
            .build();
    EXPECT_EQ(open_code(std::move(file)), 0xC03A000Bu) << block;
  }
  EXPECT_EQ(fault_of(kFileParametersItem, [](Item& i) { i.content.assign(8, std::byte{0}); }),
            "vhdx.block_size");
}

TEST(Metadata, DiskSizes) {
  const auto fault = [](std::uint64_t size) {
    return fault_of(kVirtualDiskSizeItem, [&](Item& i) { i.content = number(size); });
  };
  EXPECT_EQ(fault(0), "vhdx.disk_size");
  EXPECT_EQ(fault(511), "vhdx.disk_size");
  EXPECT_EQ(fault(64 * kTiB + 512), "vhdx.disk_size");
  EXPECT_EQ(fault(~std::uint64_t{0}), "vhdx.disk_size");
  EXPECT_EQ(fault(64 * kTiB), "vhdx.bat.size") << "legal, but the BAT is short";
  EXPECT_EQ(
      open_code(small()
                    .edit_item(kVirtualDiskSizeItem, [](Item& i) { i.content = number(std::uint64_t{1}); })
                    .build()),
      0xC03A0012u);
}

TEST(Metadata, Case68OddNumberOfSectors) {
  const auto image = must_open(VhdxBuilder(8 * kMiB + 512).build());
  EXPECT_EQ(image->properties().geometry.virtual_size_bytes, 8 * kMiB + 512);
  EXPECT_EQ(shown(*image, 8 * kMiB, 512), std::vector<int>(512, 0));
}

TEST(Metadata, Case69SectorSizes) {
  EXPECT_EQ(open_fault(small().sectors(512, 512).build()), "");
  EXPECT_EQ(open_fault(small().sectors(512, 4096).build()), "");
  EXPECT_EQ(open_fault(small().sectors(4096, 4096).build()), "");
  EXPECT_EQ(open_fault(small().sectors(4096, 512).build()), "vhdx.sector_size");
  EXPECT_EQ(open_fault(small().sectors(512, 1024).build()), "vhdx.sector_size");
  EXPECT_EQ(fault_of(kLogicalSectorSizeItem, [](Item& i) { i.content = number(std::uint32_t{2048}); }),
            "vhdx.sector_size");
  EXPECT_EQ(open_fault(VhdxBuilder(8 * kMiB + 512).sectors(4096, 4096).build()), "vhdx.disk_size");
}

TEST(Metadata, TypeFollowsFileParameters) {
  EXPECT_EQ(must_open(small().build())->properties().type, DiskType::kDynamic);
  EXPECT_EQ(must_open(small().fixed().build())->properties().type, DiskType::kFixed);
  EXPECT_EQ(must_open(small().differencing().build())->properties().type, DiskType::kDifferencing);
}

TEST(Locator, AsWindowsWritesIt) {
  const auto image = must_open(small().differencing().build());
  const auto& parent = image->properties().parent;
  ASSERT_TRUE(parent);
  // Case 75: a zero parent_linkage2 means none.
  EXPECT_EQ(parent->linkage, std::vector<Guid>{VhdxBuilder::kParentGuid});
  // Case 78: relative, volume, absolute.
  ASSERT_EQ(parent->candidates.size(), 3u);
  EXPECT_EQ(parent->candidates[0].kind, ParentCandidate::Kind::kRelative);
  EXPECT_EQ(parent->candidates[0].recorded, ".\\base.vhdx");
  EXPECT_EQ(parent->candidates[1].kind, ParentCandidate::Kind::kVolume);
  EXPECT_EQ(parent->candidates[2].kind, ParentCandidate::Kind::kAbsolute);
  // Case 76: no \\?\ prefix.
  EXPECT_EQ(parent->candidates[2].recorded, "C:\\disks\\base.vhdx");
  EXPECT_FALSE(must_open(small().build())->properties().parent);
}

TEST(Locator, Case76ForgivingGuids) {
  for (const char16_t* text :
       {u"{040302A1-0605-0807-090A-0B0C0D0E0F10}", u"040302a1-0605-0807-090a-0b0c0d0e0f10"}) {
    const auto image =
        must_open(small().differencing({{u"parent_linkage", text}, {u"relative_path", u"b"}}).build());
    EXPECT_EQ(image->properties().parent->linkage, std::vector<Guid>{VhdxBuilder::kParentGuid});
  }
  const Pairs second = {{u"parent_linkage", u"{040302a1-0605-0807-090a-0b0c0d0e0f10}"},
                        {u"parent_linkage2", u"{040302a1-0605-0807-090a-0b0c0d0e0f11}"},
                        {u"volume_path", u"b"}};
  EXPECT_EQ(must_open(small().differencing(second).build())->properties().parent->linkage.size(), 2u);
  Pairs odd = second;
  odd[1].second = u"nonsense";
  const auto image = must_open(small().differencing(odd).build());
  EXPECT_EQ(image->properties().parent->linkage.size(), 1u);
  EXPECT_EQ(image->properties().notes.size(), 1u);
}

TEST(Locator, PresentExactlyWhenThereIsAParent) {
  EXPECT_EQ(open_fault(small().differencing().remove_item(kParentLocatorItem).build()),
            "vhdx.locator.missing");
  EXPECT_EQ(
      open_fault(small().item(kParentLocatorItem, kItemIsRequired, VhdxBuilder::locator_item({})).build()),
      "vhdx.locator.unexpected");
}

TEST(Locator, TypeIdentityAndPaths) {
  const Pairs good = {{u"parent_linkage", u"{040302a1-0605-0807-090a-0b0c0d0e0f10}"},
                      {u"relative_path", u"b"}};
  EXPECT_EQ(open_code(small()
                          .differencing()
                          .edit_item(kParentLocatorItem,
                                     [&](Item& i) { i.content = VhdxBuilder::locator_item(good, kOther); })
                          .build()),
            0xC03A000Du);
  EXPECT_EQ(open_fault(small()
                           .differencing()
                           .edit_item(kParentLocatorItem,
                                      [&](Item& i) { i.content = VhdxBuilder::locator_item(good, kOther); })
                           .build()),
            "vhdx.locator.type");
  EXPECT_EQ(open_fault(small().differencing({good[1]}).build()), "vhdx.locator.linkage");
  EXPECT_EQ(open_fault(small().differencing({{u"parent_linkage", u"{}"}, good[1]}).build()),
            "vhdx.locator.linkage");
  EXPECT_EQ(open_fault(small().differencing({good[0]}).build()), "vhdx.locator.no_path");
  EXPECT_EQ(open_fault(small().differencing({good[0], {u"Relative_Path", u"b"}}).build()),
            "vhdx.locator.no_path")
      << "keys are case-sensitive";
}

TEST(Locator, Case77MalformedTexts) {
  const Pairs good = {{u"parent_linkage", u"{040302a1-0605-0807-090a-0b0c0d0e0f10}"},
                      {u"relative_path", u"b"}};
  const auto fault = [&](const std::function<void(std::vector<std::byte>&)>& edit) {
    auto content = VhdxBuilder::locator_item(good);
    edit(content);
    return open_fault(
        small().differencing().edit_item(kParentLocatorItem, [&](Item& i) { i.content = content; }).build());
  };
  const auto entry = [](auto member, auto value, std::size_t n = 1) {
    return [=](std::vector<std::byte>& item) {
      const auto at =
          std::span(item).subspan(sizeof(ParentLocatorHeaderLayout) + n * sizeof(ParentLocatorEntryLayout));
      auto stored = load<ParentLocatorEntryLayout>(at);
      stored.*member = value;
      store(at, stored);
    };
  };
  using Entry = ParentLocatorEntryLayout;
  constexpr std::string_view kMalformed = "vhdx.locator.malformed";
  EXPECT_EQ(fault([](auto&) {}), "");
  EXPECT_EQ(fault(entry(&Entry::key_length, std::uint16_t{0})), kMalformed);
  EXPECT_EQ(fault(entry(&Entry::value_length, std::uint16_t{0})), kMalformed);
  EXPECT_EQ(fault(entry(&Entry::value_length, std::uint16_t{1})), kMalformed);
  EXPECT_EQ(fault(entry(&Entry::value_length, std::uint16_t{4})), kMalformed) << "past the item";
  EXPECT_EQ(fault(entry(&Entry::value_offset, 0xFFFFFFFEu)), kMalformed);
  EXPECT_EQ(fault(entry(&Entry::value_offset, 0u)), kMalformed) << "upon the header";
  EXPECT_EQ(fault(entry(&Entry::value_offset, 44u)), kMalformed) << "upon another text";
  EXPECT_EQ(fault([](auto& item) { item.resize(19); }), kMalformed);
  EXPECT_EQ(fault([](auto& item) { item[18] = item[19] = std::byte{0xFF}; }), kMalformed);
  EXPECT_EQ(fault([](auto& item) { item.resize(64 * kKiB); }), "");
  EXPECT_EQ(fault([](auto& item) { item.resize(64 * kKiB + 1); }), kMalformed);
  EXPECT_EQ(open_fault(small().differencing({good[0], good[0], good[1]}).build()), kMalformed)
      << "doubled key";
}

}  // namespace
}  // namespace vdisk::vhdx
