// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/create.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/utf16.h"
#include "format/vhdx/layout.h"
#include "format/vhdx/metadata.h"
#include "format/vhdx/vhdx.h"
#include "io/memory_file.h"
#include "testing/crash_explorer.h"
#include "testing/fault_file.h"

namespace vdisk::vhdx {
namespace {

Guid guid(std::string_view text) { return *Guid::parse(text); }

CreateSpec spec_of(DiskType type, std::uint64_t size = 64 * kMiB) {
  CreateSpec spec;
  spec.type = type;
  spec.virtual_size_bytes = size;
  spec.block_bytes = 2 * kMiB;
  spec.physical_sector_bytes = 4096;
  spec.identifier = guid("11111111-2222-3333-4444-555555555555");
  spec.virtual_disk_id = guid("66666666-7777-8888-9999-aaaaaaaaaaaa");
  spec.file_write_guid = guid("bbbbbbbb-cccc-dddd-eeee-ffffffffffff");
  if (type == DiskType::kDifferencing) {
    spec.parent.emplace();
    spec.parent->identifier = guid("ABCDEF01-2345-6789-abcd-ef0123456789");
    spec.parent->name = "b\u00e4se.vhdx";
    spec.parent->windows_relative = "..\\images\\b\u00e4se.vhdx";
    spec.parent->linux_relative = "../images/b\u00e4se.vhdx";
    spec.parent->linux_absolute = "/images/b\u00e4se.vhdx";
  }
  return spec;
}

template <class T>
T at(File& file, std::uint64_t offset) {
  T value;
  EXPECT_TRUE(read_exactly(file, FileOffset{offset}, writable_bytes_of(value)));
  return value;
}

CheckReport check_report(File& file) {
  CheckReport report;
  CheckSink sink(report, file.name());
  EXPECT_TRUE(kFormat.check(file, {}, sink, {}));
  return report;
}

std::string findings(File& file) {
  std::string text;
  for (const Finding& finding : check_report(file).findings)
    text += finding.fault + ": " + finding.message + "\n";
  return text;
}

TEST(VhdxCreate, LiesAsWindowsLaysItOut) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kDynamic), {}));
  EXPECT_EQ(file.size(), 4 * kMiB);
  EXPECT_EQ(at<Signature<8>>(file, 0), kIdentifierSignature);
  const auto first = at<HeaderLayout>(file, 64 * kKiB);
  const auto second = at<HeaderLayout>(file, 128 * kKiB);
  EXPECT_EQ(first.sequence_number + 1, second.sequence_number.get());
  EXPECT_EQ(first.data_write_guid, second.data_write_guid);
  EXPECT_EQ(first.data_write_guid, spec_of(DiskType::kDynamic).identifier);
  EXPECT_EQ(first.file_write_guid, spec_of(DiskType::kDynamic).file_write_guid);
  EXPECT_TRUE(first.log_guid.is_zero());
  EXPECT_EQ(first.log_offset, kMiB);
  EXPECT_EQ(first.log_length, kMiB);
  for (const std::uint64_t table : {192 * kKiB, 256 * kKiB}) {
    const auto bat = at<RegionEntryLayout>(file, table + 16);
    EXPECT_EQ(bat.guid, kBatRegion);
    EXPECT_EQ(bat.file_offset, 3 * kMiB);
    EXPECT_EQ(bat.length, kMiB);
    EXPECT_EQ(bat.flags, 1U);
    const auto metadata = at<RegionEntryLayout>(file, table + 48);
    EXPECT_EQ(metadata.guid, kMetadataRegion);
    EXPECT_EQ(metadata.file_offset, 2 * kMiB);
    EXPECT_EQ(metadata.length, kMiB);
    EXPECT_EQ(metadata.flags, 1U);
  }
  // Items packed in Windows' order: offsets 0, 8, 0x10, 0x14, 0x18 (formats.md 2.10).
  const std::uint32_t wanted[] = {0x10000, 0x10008, 0x10010, 0x10014, 0x10018};
  EXPECT_EQ(at<MetadataTableHeaderLayout>(file, 2 * kMiB).entry_count, 5);
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(at<MetadataEntryLayout>(file, 2 * kMiB + 32 + i * 32).offset, wanted[i]) << i;
  }
  // Where the marker was there is nothing left.
  EXPECT_TRUE(at<Guid>(file, 2 * kMiB + 32 + 5 * 32).is_zero());
  EXPECT_EQ(findings(file), "");
}

TEST(VhdxCreate, RecordsItsParentAsWindowsDoes) {
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec_of(DiskType::kDifferencing), {}));
  EXPECT_EQ(at<MetadataEntryLayout>(file, 2 * kMiB + 32 + 5 * 32).offset, 0x10028U);
  Metadata metadata;
  const Region region{kMetadataRegion, 2 * kMiB, kMiB, 1};
  const Status read = read_metadata_into(file, region, metadata);
  ASSERT_TRUE(read) << read.error().message();
  const std::vector<std::pair<std::string, std::string>> wanted = {
      {"parent_linkage", "{abcdef01-2345-6789-abcd-ef0123456789}"},
      {"absolute_win32_path", "/images/b\u00e4se.vhdx"},
      {"relative_path", "..\\images\\b\u00e4se.vhdx"},
      {"volume_path", "\\\\?\\Volume{00000000-0000-0000-0000-000000000000}\\images\\b\u00e4se.vhdx"},
      {"parent_linkage2", "{00000000-0000-0000-0000-000000000000}"}};
  EXPECT_EQ(metadata.locator_pairs, wanted);
  EXPECT_EQ(findings(file), "");

  auto spec = spec_of(DiskType::kDifferencing);
  spec.parent->windows_absolute = "C:\\images\\b\u00e4se.vhdx";
  MemoryFile mapped;
  ASSERT_TRUE(create_image(mapped, spec, {}));
  Metadata with_drive;
  ASSERT_TRUE(read_metadata_into(mapped, region, with_drive));
  EXPECT_EQ(with_drive.locator_pairs[1].second, "C:\\images\\b\u00e4se.vhdx");
  EXPECT_EQ(with_drive.locator_pairs[3].second,
            "\\\\?\\Volume{00000000-0000-0000-0000-000000000000}\\images\\b\u00e4se.vhdx");
}

TEST(VhdxCreate, FixedBlocksLieOneBehindTheOther) {
  // 1 MiB blocks and 512-byte sectors: 4096 payload entries, then one of a bitmap.
  auto spec = spec_of(DiskType::kFixed, 5000 * kMiB);
  spec.block_bytes = kMiB;
  MemoryFile file;
  ASSERT_TRUE(create_image(file, spec, {}));
  EXPECT_EQ(file.size(), 4 * kMiB + 5000 * kMiB);
  const auto entry = [&](std::uint64_t index) {
    return at<Le<std::uint64_t>>(file, 3 * kMiB + index * 8).get();
  };
  EXPECT_EQ(entry(0), 4 * kMiB | 6);
  EXPECT_EQ(entry(4095), (4 + 4095) * kMiB | 6);
  EXPECT_EQ(entry(4096), 0U);
  EXPECT_EQ(entry(4097), (4 + 4096) * kMiB | 6);
  EXPECT_EQ(entry(5000), (4 + 4999) * kMiB | 6);
  EXPECT_EQ(entry(5001), 0U);
  EXPECT_EQ(findings(file), "");
}

TEST(VhdxCreate, SixtyFourTebibytesCostKilobytes) {
  auto spec = spec_of(DiskType::kDynamic, 64 * kTiB);
  spec.block_bytes = kMiB;
  testing::Recording recording(std::make_shared<MemoryFile>());
  testing::RecordingFile file(recording);
  ASSERT_TRUE(create_image(file, spec, {}));
  EXPECT_EQ(file.size(), (3 + 513) * kMiB);
  std::uint64_t written = 0;
  std::uint64_t flushes = 0;
  for (const auto& event : recording.events()) {
    if (event.kind == testing::IoEvent::Kind::kWrite) written += event.length;
    if (event.kind == testing::IoEvent::Kind::kZero) written += event.length;
    if (event.kind == testing::IoEvent::Kind::kFlush) ++flushes;
  }
  EXPECT_LT(written, 64 * kKiB);
  EXPECT_EQ(flushes, 1U);
}

TEST(VhdxCreate, EveryCrashLeavesARefusedOrAWholeFile) {
  std::uint64_t states = 0;
  std::vector<CreateSpec> specs;
  for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic, DiskType::kDifferencing}) {
    specs.insert(specs.end(), 2, spec_of(type));
    specs.back().logical_sector_bytes = 4096;
  }
  for (const CreateSpec& spec : specs) {
    testing::Recording recording(std::make_shared<MemoryFile>());
    testing::RecordingFile file(recording);
    ASSERT_TRUE(create_image(file, spec, {}));
    ASSERT_TRUE(file.flush());
    recording.promise(1, "created");
    testing::ExploreOptions options;
    options.random_states = 900 * testing::search_scale();
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
          return findings(*state.file);
        });
    EXPECT_EQ(report.failure, "");
    EXPECT_GT(refused, 100U) << to_string(spec.type);
    EXPECT_GT(whole, 0U) << to_string(spec.type);
    states += report.states;
  }
  RecordProperty("crash_states.vhdx.create", std::to_string(states));
  EXPECT_GE(states, 10'000u);
}

TEST(VhdxCreate, NoFailureOfAnyIoIsLost) {
  for (const int number : {5, 28}) {
    const auto report = testing::run_fault_loop(
        std::make_shared<MemoryFile>(), {.os_errno = number},
        [](std::unique_ptr<File> file) -> Status {
          VDISK_TRY(create_image(*file, spec_of(DiskType::kDifferencing), {}));
          return file->flush();
        },
        [](const std::shared_ptr<File>& left, const Status& result) -> std::string {
          if (result) return findings(*left);
          // Refused, or (the last flush failed) whole.
          return kFormat.open(std::make_unique<testing::CowFile>(left), {}) ? findings(*left) : "";
        });
    EXPECT_EQ(report.failure, "");
    EXPECT_GT(report.runs, 10U);
  }
}

TEST(VhdxCreate, CancellationIsNoticed) {
  OperationControl control;
  control.cancellation.cancel();
  MemoryFile file;
  EXPECT_EQ(create_image(file, spec_of(DiskType::kFixed), control).error().id(), "base.cancelled");
}

}  // namespace
}  // namespace vdisk::vhdx
