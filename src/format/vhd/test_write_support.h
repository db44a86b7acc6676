// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the writing half share: a disk on an image as Disk drives it, and what check says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format/vhd/check.h"
#include "format/vhd/image.h"
#include "format/vhd/test_support.h"
#include "testing/cow_file.h"
#include "testing/image_writing.h"
#include "testing/shared_file.h"

namespace vdisk::vhd {

/// The file grows by one block at a time: growth is then part of everything that is tested.
inline constexpr Growth kStepwise{.least_bytes = 1, .most_bytes = 1};

inline Status write_disk(Image& image, std::uint64_t at, std::span<const std::byte> from) {
  return testing::write_image(image, at, from);
}

inline Status fill_disk(Image& image, std::uint64_t at, std::uint64_t length, std::uint8_t value) {
  return write_disk(image, at, std::vector<std::byte>(length, std::byte{value}));
}

inline Status zero_disk(Image& image, std::uint64_t at, std::uint64_t length) {
  return testing::discard_image(image, {DiskOffset{at}, length}, /*keep_space=*/true);
}

inline Status trim_disk(Image& image, std::uint64_t at, std::uint64_t length) {
  return testing::discard_image(image, {DiskOffset{at}, length}, /*keep_space=*/false);
}

/// A writable image on a view of `base`, which stays as it is.
inline Result<std::unique_ptr<Image>> open_view(const std::shared_ptr<File>& base,
                                                const Growth& growth = {}) {
  return VhdImage::open_growing(std::make_unique<testing::CowFile>(base), with_write(true), growth);
}

inline Result<std::unique_ptr<Image>> open_shared(const std::shared_ptr<File>& file, bool writable = true,
                                                  const Growth& growth = {}) {
  return VhdImage::open_growing(std::make_unique<testing::SharedFile>(file), with_write(writable), growth);
}

inline CheckReport check_file(const std::shared_ptr<File>& file) {
  CheckReport report;
  CheckSink sink(report, "test.vhd");
  const Status status = check(*file, ImageOpen{}, sink, {});
  EXPECT_TRUE(status.has_value());
  return report;
}

/// "" or what check finds of at least the given severity.
inline std::string flaws(const std::shared_ptr<File>& file,
                         Finding::Severity least = Finding::Severity::kDamage) {
  std::string text;
  for (const Finding& finding : check_file(file).findings) {
    if (finding.severity >= least) text += finding.fault + ": " + finding.message + "; ";
  }
  return text;
}

}  // namespace vdisk::vhd
