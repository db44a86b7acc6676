// SPDX-License-Identifier: Apache-2.0
//
// Opening and reading whole images. "Case N" is a number of formats.md 6.
#include "format/vhdx/image.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <random>

#include "format/vhdx/test_support.h"
#include "testing/counting_file.h"

namespace vdisk::vhdx {
namespace {

using Source = Run::Source;

TEST(Image, DynamicDiskOfOneBlock) {
  VhdxBuilder b(4 * kMiB);
  const std::uint64_t at = b.present(1);
  b.write(kMiB + 5, 3, 0xAA);
  const auto image = must_open(b.build());
  EXPECT_EQ(image->properties().type, DiskType::kDynamic);
  EXPECT_EQ(image->properties().geometry.virtual_size_bytes, 4 * kMiB);
  EXPECT_EQ(image->properties().geometry.physical_sector_bytes, 4096u);
  EXPECT_EQ(image->properties().identifier, VhdxBuilder::kDataWriteGuid);
  EXPECT_EQ(image->properties().virtual_disk_id, VhdxBuilder::kDiskId);
  EXPECT_EQ(image->properties().creator, "vdisk tests");
  EXPECT_FALSE(image->properties().dirty_log);
  RunList runs;
  EXPECT_EQ(image->resolve_read({DiskOffset{0}, 4 * kMiB}, runs), 4 * kMiB);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].source, Source::kZero);
  EXPECT_EQ(runs[1].source, Source::kFile);
  EXPECT_EQ(runs[1].from.bytes, at);
  EXPECT_EQ(runs[1].length, kMiB);
  EXPECT_EQ(runs[2].source, Source::kZero);
  EXPECT_EQ(image->allocated_bytes(), kMiB);
  EXPECT_EQ(shown(*image, kMiB + 4, 5), (std::vector<int>{0, 0xAA, 0xAA, 0xAA, 0}));
}

}  // namespace
}  // namespace vdisk::vhdx
