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
#include "testing/shared_file.h"

namespace vdisk::vhd {

/// The file grows by one block at a time: growth is then part of everything that is tested.
inline constexpr Growth kStepwise{.least_bytes = 1, .most_bytes = 1};

inline Status write_disk(Image& image, std::uint64_t at, std::span<const std::byte> from) {
  while (!from.empty()) {
    RunList runs;
    const IoGate::Pass pass = image.io_gate().enter();
    WriteTicket ticket = VDISK_TRY(image.resolve_write({DiskOffset{at}, from.size()}, runs));
    for (const Run& run : runs) {
      VDISK_TRY(image.file().write(run.from, from.subspan(run.at.bytes - at, run.length)));
    }
    const std::uint64_t covered = ticket.covered_bytes();
    ticket.commit();
    at += covered;
    from = from.subspan(covered);
  }
  return {};
}

inline Status fill_disk(Image& image, std::uint64_t at, std::uint64_t length, std::uint8_t value) {
  return write_disk(image, at, std::vector<std::byte>(length, std::byte{value}));
}

inline Status zero_disk(Image& image, std::uint64_t at, std::uint64_t length) {
  std::vector<DiskRange> rest;
  {
    const IoGate::Pass pass = image.io_gate().enter();
    VDISK_TRY(image.discard({DiskOffset{at}, length}, /*keep_space=*/true, rest));
  }
  for (const DiskRange& piece : rest) VDISK_TRY(write_disk(image, piece.at.bytes, zeros(piece.length)));
  return {};
}

inline Status trim_disk(Image& image, std::uint64_t at, std::uint64_t length) {
  std::vector<DiskRange> rest;
  const IoGate::Pass pass = image.io_gate().enter();
  return image.discard({DiskOffset{at}, length}, /*keep_space=*/false, rest);
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
