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

/// Keeps a file that an image owns readable after the image has gone.
class SharedFile final : public File {
 public:
  explicit SharedFile(std::shared_ptr<File> below) : below_(std::move(below)) {}
  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_->read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override { return below_->write(at, from); }
  Status flush() override { return below_->flush(); }
  Result<std::uint64_t> size() override { return below_->size(); }
  Status resize(std::uint64_t size_bytes) override { return below_->resize(size_bytes); }
  Status zero(FileOffset at, std::uint64_t length) override { return below_->zero(at, length); }
  Status punch(FileOffset at, std::uint64_t length) override { return below_->punch(at, length); }
  Result<FileOffset> next_data(FileOffset from) override { return below_->next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_->next_hole(from); }
  bool writable() const noexcept override { return below_->writable(); }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  const std::shared_ptr<File> below_;
};

inline Result<std::unique_ptr<Image>> open_shared(const std::shared_ptr<File>& file, bool writable = true,
                                                  const Growth& growth = {}) {
  return VhdImage::open_growing(std::make_unique<SharedFile>(file), with_write(writable), growth);
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
