// SPDX-License-Identifier: Apache-2.0
#include "format/image.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "format/registry.h"
#include "io/memory_file.h"

namespace vdisk {
namespace {

constexpr Format kFormat = {.id = FormatId::kRaw,
                            .name = "readable",
                            .extensions = {},
                            .has_parents = false,
                            .probe = nullptr,
                            .open = nullptr,
                            .inspect = nullptr,
                            .check = nullptr,
                            .faults = {}};

/// What a format without a writing half is.
class ReadableImage final : public Image {
 public:
  const Format& format() const noexcept override { return kFormat; }
  const ImageProperties& properties() const noexcept override { return properties_; }
  File& file() const noexcept override { return *file_; }
  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override {
    runs.clear();
    runs.add({Run::Source::kZero, range.at, range.length, {}});
    return range.length;
  }
  Result<std::uint64_t> allocated_bytes() override { return 0; }

 private:
  std::unique_ptr<File> file_ = std::make_unique<MemoryFile>("readable.img");
  ImageProperties properties_;
};

TEST(Image, WithoutAWritingHalfRefusesEveryChange) {
  ReadableImage image;
  RunList runs;
  const auto ticket = image.resolve_write({{0}, 512}, runs);
  ASSERT_FALSE(ticket);
  EXPECT_EQ(ticket.error().id(), "format.not_writable");
  EXPECT_EQ(ticket.error().code(), 19U);
  std::vector<DiskRange> rest;
  const Status discarded = image.discard({{0}, 512}, true, rest);
  ASSERT_FALSE(discarded);
  EXPECT_EQ(discarded.error().id(), "format.not_writable");
  EXPECT_TRUE(image.flush());
  EXPECT_TRUE(image.close());
}

}  // namespace
}  // namespace vdisk
