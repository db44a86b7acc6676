// SPDX-License-Identifier: Apache-2.0
//
// Images with a log to replay, through the format's own doors.
#include <gtest/gtest.h>

#include "format/vhdx/header.h"
#include "format/vhdx/layout.h"
#include "testing/counting_file.h"
#include "testing/vhdx_log_builder.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

using vdisk::testing::LogEntrySpec;
using vdisk::testing::LogWrite;
using vdisk::testing::VhdxLogBuilder;

/// The BAT on disk is empty; the log brings the page that places block 1.
std::unique_ptr<MemoryFile> dirty_file() {
  VhdxLogBuilder log;
  VhdxBuilder b(8 * kMiB);
  b.log_guid(log.guid());
  const std::uint64_t at = b.present(1);
  b.write(kMiB, kMiB, 0x77);
  b.raw_entry(1, 0);
  LogEntrySpec spec;
  LogWrite page{.file_offset = b.bat_offset(), .page = std::vector<std::byte>(4096)};
  store(std::span(page.page).subspan(8), Le<std::uint64_t>(at | 6));
  spec.writes.push_back(page);
  log.add(spec);
  const std::uint64_t log_at = b.log_offset();
  auto file = b.build();
  EXPECT_TRUE(file->write(FileOffset{log_at}, log.bytes()));
  return file;
}

TEST(DirtyOpen, Case40And52ReaderSeesTheLogReplayedAndWritesNothing) {
  vdisk::testing::IoCounts counts;
  const auto image = must_open(std::make_unique<vdisk::testing::CountingFile>(dirty_file(), counts));
  EXPECT_TRUE(image->properties().dirty_log);
  EXPECT_EQ(shown(*image, kMiB, 4), (std::vector<int>(4, 0x77)));
  EXPECT_EQ(counts.writes + counts.resizes + counts.flushes, 0u);
}

TEST(DirtyOpen, Case53WriterReplays) {
  const auto image = open(dirty_file(), true);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_TRUE((*image)->properties().dirty_log);
  EXPECT_EQ((*image)->properties().identifier, VhdxBuilder::kDataWriteGuid) << "replay keeps DataWriteGuid";
  EXPECT_EQ(shown(**image, kMiB, 4), (std::vector<int>(4, 0x77)));
  EXPECT_TRUE(read_headers((*image)->file())->current.log_guid.is_zero());
}

TEST(DirtyOpen, Case44EmptyLogIsDamage) {
  const Guid guid{{1}};
  EXPECT_EQ(open_fault(VhdxBuilder(8 * kMiB).log_guid(guid).build()), "vhdx.log.empty");
  auto file = VhdxBuilder(8 * kMiB).log_guid(guid).build();
  EXPECT_TRUE(check(*file).damaged());
  ImageInfo info;
  const Status status = kFormat.inspect(*file, {}, info);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "vhdx.log.empty");
  EXPECT_TRUE(info.dirty_log);
  EXPECT_EQ(info.virtual_size_bytes, 8 * kMiB) << "told all the same";
}

}  // namespace
}  // namespace vdisk::vhdx
