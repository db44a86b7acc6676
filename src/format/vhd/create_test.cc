// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/create.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "base/checked.h"
#include "base/endian.h"
#include "base/utf16.h"
#include "format/vhd/layout.h"
#include "format/vhd/vhd.h"
#include "io/memory_file.h"
#include "testing/crash_explorer.h"
#include "testing/fault_file.h"

namespace vdisk::vhd {
namespace {

constexpr std::string_view kId = "00112233-4455-6677-8899-aabbccddeeff";

CreateSpec spec_of(DiskType type, std::uint64_t size = 4 * kMiB) {
  CreateSpec spec;
  spec.type = type;
  spec.virtual_size_bytes = size;
  spec.block_bytes = type == DiskType::kFixed ? 0 : 2 * kMiB;
  spec.identifier = *Guid::parse(kId);
  spec.creation_unix_seconds = 946'684'800 + 0x01020304;
  if (type == DiskType::kDifferencing) {
    spec.parent.emplace();
    spec.parent->identifier = *Guid::parse("ffeeddcc-bbaa-9988-7766-554433221100");
    spec.parent->name = "the base.vhd";
    spec.parent->windows_relative = "..\\the base.vhd";
    spec.parent->linux_relative = "../the base.vhd";
    spec.parent->linux_absolute = "/images/the base.vhd";
    spec.parent->windows_absolute = "D:\\the base.vhd";
  }
  return spec;
}

template <class T>
T at(File& file, std::uint64_t offset) {
  T value;
  EXPECT_TRUE(read_exactly(file, FileOffset{offset}, writable_bytes_of(value)));
  return value;
}

std::string findings(File& file) {
  CheckReport report;
  CheckSink sink(report, file.name());
  EXPECT_TRUE(kFormat.check(file, {}, sink, {}));
  std::string text;
  for (const Finding& finding : report.findings) text += finding.fault + ": " + finding.message + "\n";
  return text;
}

TEST(VhdCreate, FooterIsThatOfWindows) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kFixed, 0x03010200), {}));
  EXPECT_EQ(file.size(), 0x03010400U);  // not rounded to what CHS addresses
  const auto footer = at<Footer>(file, 0x03010200);
  EXPECT_EQ(footer.cookie, kFooterCookie);
  EXPECT_EQ(footer.features, 2U);
  EXPECT_EQ(footer.format_version, 0x00010000U);
  EXPECT_EQ(footer.data_offset, ~std::uint64_t{0});
  EXPECT_EQ(footer.timestamp, 0x01020304U);
  EXPECT_EQ(footer.creator_application, (Tag4{'w', 'i', 'n', ' '}));
  EXPECT_EQ(footer.creator_version, 0x000A0000U);
  EXPECT_EQ(footer.creator_host_os, (Tag4{'W', 'i', '2', 'k'}));
  EXPECT_EQ(footer.original_size, 0x03010200U);
  EXPECT_EQ(footer.current_size, 0x03010200U);
  EXPECT_EQ(footer.disk_type, 2U);
  EXPECT_EQ(footer.unique_id, Guid::parse(kId)->to_text_order());
  EXPECT_EQ(footer.checksum, checksum_of(footer));
  EXPECT_EQ(findings(file), "");
}

TEST(VhdCreate, GeometryIsThatOfRealFiles) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kDynamic, 127 * kGiB), {}));
  const auto footer = at<Footer>(file, 0);
  EXPECT_EQ(footer.cylinders, 65278);
  EXPECT_EQ(footer.heads, 16);
  EXPECT_EQ(footer.sectors_per_track, 255);
  // 127 GiB have 65024 entries: Hyper-V 2012 R2 makes a file of 266,240 bytes, footer at 0x40E00, the table's
  // page filled with ones (formats.md 1.5 and 1.15).
  EXPECT_EQ(file.size(), 266'240U);
  EXPECT_EQ(at<Footer>(file, 0x40E00).checksum, footer.checksum);
  EXPECT_EQ(at<Be<std::uint64_t>>(file, 0x40000 - 8), ~std::uint64_t{0});
  EXPECT_EQ(at<Be<std::uint64_t>>(file, 0x40000), 0U);
}

TEST(VhdCreate, DynamicDataWillBeAligned) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kDynamic, 10 * kMiB), {}));
  EXPECT_EQ(file.size(), 0x2000U);
  EXPECT_TRUE(std::ranges::equal(bytes_of(at<Footer>(file, 0)), bytes_of(at<Footer>(file, 0x1E00))));
  const auto header = at<DynamicHeader>(file, 512);
  EXPECT_EQ(header.cookie, kHeaderCookie);
  EXPECT_EQ(header.data_offset, ~std::uint64_t{0});
  EXPECT_EQ(header.table_offset, 0x600U);
  EXPECT_EQ(header.max_table_entries, 5U);
  EXPECT_EQ(header.block_size, 0x200000U);
  EXPECT_EQ(header.checksum, checksum_of(header));
  EXPECT_EQ(findings(file), "");
}

std::string text_of(File& file, const LocatorEntry& entry) {
  std::vector<std::byte> bytes(entry.data_length);
  EXPECT_TRUE(read_exactly(file, FileOffset{entry.data_offset}, bytes));
  if (entry.platform_code == 0x4D616358) {
    std::string text;
    for (const std::byte byte : bytes) text += static_cast<char>(byte);
    return text;
  }
  return utf16_to_utf8(bytes, Utf16Order::kLittle);
}

TEST(VhdCreate, DifferencingLiesAsWindowsTenLaysItOut) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kDifferencing), {}));
  const auto header = at<DynamicHeader>(file, 512);
  EXPECT_EQ(header.table_offset, 0x2000U);
  EXPECT_EQ(header.parent_unique_id, Guid::parse("ffeeddcc-bbaa-9988-7766-554433221100")->to_text_order());
  EXPECT_EQ(header.parent_timestamp, 0U);
  EXPECT_EQ(utf16_to_utf8(header.parent_unicode_name, Utf16Order::kBig).substr(0, 16),
            std::string("D:\\the base.vhd\0", 16));
  const auto& locators = header.parent_locators;
  EXPECT_EQ(locators[0].platform_code, 0x57326B75U);
  EXPECT_EQ(locators[0].data_offset, 0x1000U);
  EXPECT_EQ(locators[0].data_space, 4096U);  // bytes, not sectors
  EXPECT_EQ(text_of(file, locators[0]), "D:\\the base.vhd");
  EXPECT_EQ(locators[1].platform_code, 0x57327275U);
  EXPECT_EQ(locators[1].data_offset, 0x3000U);
  EXPECT_EQ(locators[1].data_space, 65536U);
  EXPECT_EQ(text_of(file, locators[1]), ".\\..\\the base.vhd");
  EXPECT_EQ(text_of(file, locators[2]), "file://../the%20base.vhd");
  EXPECT_EQ(text_of(file, locators[3]), "file:///images/the%20base.vhd");
  EXPECT_EQ(locators[4].platform_code, 0U);
  EXPECT_EQ(*file.size(), 0x16000U);  // and the first bitmap will take the footer's place
  EXPECT_EQ(findings(file), "");
}

TEST(VhdCreate, TheNameStandsForAPathThatIsTooLong) {
  auto spec = spec_of(DiskType::kDifferencing);
  spec.parent->windows_absolute = "D:\\" + std::string(300, 'x') + "\\the base.vhd";
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec, {}));
  const auto header = at<DynamicHeader>(file, 512);
  EXPECT_EQ(utf16_to_utf8(header.parent_unicode_name, Utf16Order::kBig).substr(0, 13),
            std::string("the base.vhd\0", 13));
  EXPECT_EQ(text_of(file, header.parent_locators[0]), spec.parent->windows_absolute);
}

TEST(VhdCreate, EveryCrashLeavesARefusedOrAWholeFile) {
  std::uint64_t states = 0;
  for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic, DiskType::kDifferencing}) {
    testing::Recording recording(std::make_shared<MemoryFile>());
    testing::RecordingFile file(recording);
    ASSERT_TRUE(create_image(file, spec_of(type), {}));
    ASSERT_TRUE(file.flush());
    recording.promise(1, "created");
    testing::ExploreOptions options;
    options.random_states = 1700 * testing::search_scale();
    options.most_states = options.random_states;
    std::uint64_t refused = 0;
    std::uint64_t whole = 0;
    const auto report =
        testing::explore_crashes(recording, options, [&](testing::CrashState& state) -> std::string {
          auto image = kFormat.open(std::make_unique<testing::CowFile>(state.file), {});
          if (!image) {
            ++refused;
            return state.promised(1) ? "does not open: " + image.error().message() : "";
          }
          ++whole;
          // Between the two copies of the footer check misses one; nothing else is.
          const std::string found = findings(*state.file);
          return found.empty() || (!state.promised(1) && found.starts_with("vhd.footer.copy: ") &&
                                   std::ranges::count(found, '\n') == 1)
                     ? ""
                     : found;
        });
    EXPECT_EQ(report.failure, "");
    EXPECT_GT(refused, 0U) << to_string(type);
    EXPECT_GT(whole, 0U) << to_string(type);
    states += report.states;
  }
  RecordProperty("crash_states.vhd.create", std::to_string(states));
  EXPECT_GE(states, 10'000u);
}

TEST(VhdCreate, NoFailureOfAnyIoIsLost) {
  for (const DiskType type : {DiskType::kFixed, DiskType::kDifferencing}) {
    for (const int number : {5, 28}) {
      const auto report = testing::run_fault_loop(
          std::make_shared<MemoryFile>(), {.os_errno = number},
          [type](std::unique_ptr<File> file) -> Status {
            VDISK_TRY(create_image(*file, spec_of(type), {}));
            return file->flush();
          },
          [](const std::shared_ptr<File>& left, const Status& result) -> std::string {
            return result ? findings(*left) : "";
          });
      EXPECT_EQ(report.failure, "");
      EXPECT_GT(report.runs, 2U);
    }
  }
}

}  // namespace
}  // namespace vdisk::vhd
