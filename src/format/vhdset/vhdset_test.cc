// SPDX-License-Identifier: Apache-2.0
#include "format/vhdset/vhdset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/registry.h"
#include "format/vhdset/faults.h"
#include "io/memory_file.h"

namespace vdisk::vhdset {
namespace {

TEST(VhdSet, IsKnownByNameAndRefusedWithAdvice) {
  auto file = std::make_unique<MemoryFile>("cluster.vhds");
  ASSERT_TRUE(file->resize(260 * 1024));
  const auto format = detect_format(*file, "Cluster.VHDS", std::nullopt);
  ASSERT_TRUE(format) << format.error().message();
  EXPECT_EQ(*format, &kFormat);

  ImageInfo info;
  const Status inspected = kFormat.inspect(*file, {}, info);
  ASSERT_FALSE(inspected);
  EXPECT_EQ(inspected.error().code(), 0xC03A0004U);
  EXPECT_EQ(info.format, FormatId::kVhdSet);

  CheckReport report;
  CheckSink sink(report, "cluster.vhds");
  EXPECT_TRUE(kFormat.check(*file, {}, sink, {}));
  EXPECT_TRUE(report.damaged());

  const auto image = kFormat.open(std::move(file), {});
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().id(), faults::kUnknownLayout.id);
  EXPECT_THAT(image.error().message(), ::testing::HasSubstr(".avhdx"));
}

TEST(VhdSet, ContentNeverNamesIt) {
  MemoryFile file("anything");
  EXPECT_EQ(kFormat.probe(file).value_or(Probe::kYes), Probe::kNo);
}

}  // namespace
}  // namespace vdisk::vhdset
