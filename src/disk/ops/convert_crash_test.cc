// SPDX-License-Identifier: Apache-2.0
//
// The power goes while an image is filled. What is there before convert has answered is nobody's image (its
// file has no name yet), so it may be anything that does us no harm; from the answer on it is the whole disk.
#include <gtest/gtest.h>
#include <vdisk/operations.h>

#include <cstring>
#include <random>

#include "base/checked.h"
#include "disk/ops/convert_into.h"
#include "format/registry.h"
#include "io/memory_file.h"
#include "testing/crash_explorer.h"
#include "testing/recording_file.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::CrashState;
using testing::ExploreOptions;
using testing::Recording;
using testing::RecordingFile;

constexpr std::uint64_t kDiskBytes = 4 * kMiB;

using Bytes = std::vector<std::byte>;

Bytes pattern(std::uint32_t seed) {
  Bytes bytes(kDiskBytes);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t at = random() % (kDiskBytes / 4096) * 4096;
    for (std::uint64_t k = 0; k < 4096; k += 8) {
      const std::uint64_t value = random();
      std::memcpy(bytes.data() + at + k, &value, 8);
    }
  }
  return bytes;
}

/// What the image shows over `parent`.
Result<Bytes> content_of(File& file, Image& image, const Bytes& parent) {
  Bytes bytes(kDiskBytes);
  RunList runs;
  for (std::uint64_t at = 0; at < kDiskBytes;) {
    at += VDISK_TRY(image.resolve_read({DiskOffset{at}, kDiskBytes - at}, runs));
    for (const Run& run : runs) {
      const auto into = std::span(bytes).subspan(run.at.bytes, run.length);
      if (run.source == Run::Source::kParent) {
        std::memcpy(into.data(), parent.data() + run.at.bytes, run.length);
      } else if (run.source == Run::Source::kFile) {
        static_cast<void>(VDISK_TRY(read_zero_padded(file, run.from, into)));
      }
    }
  }
  return bytes;
}

class ConvertCrash : public ::testing::TestWithParam<FormatId> {
 protected:
  Disk raw(const std::string& name, const Bytes& bytes) const {
    OpenOptions options;
    options.format = FormatId::kRaw;
    auto disk = Disk::open(folder_.save(name, bytes), options);
    EXPECT_TRUE(disk) << disk.error().message();
    return std::move(disk).value();
  }

  /// The states of one conversion.
  std::uint64_t cut(const Disk& source, const ConvertOptions& options, const Bytes& wanted,
                    const Bytes& parent) const {
    const Format& format = format_by_id(GetParam());
    Recording recording(std::make_shared<MemoryFile>(folder_.path("target")));
    {
      RecordingFile target(recording);
      const Status converted = ops::convert_into(source, target, options, {});
      EXPECT_TRUE(converted) << converted.error().message();
    }
    recording.promise(1, "converted");
    ExploreOptions explore;
    explore.random_states = 1300 * testing::search_scale();
    explore.most_states = explore.random_states;
    std::uint64_t refused = 0, opened = 0;
    const auto report = testing::explore_crashes(recording, explore, [&](CrashState& state) -> std::string {
      CheckReport found;
      CheckSink sink(found, "target");
      const Status checked = format.check(*state.file, {}, sink, {});
      auto image = format.open(std::make_unique<testing::CowFile>(state.file), {});
      if (!state.promised(1)) {
        refused += image ? 0 : 1;
        const bool looks = image && ++opened % 8 == 0;  // reading all of it is what costs
        return !looks || content_of(*state.file, **image, parent) ? "" : "opens, but cannot be read";
      }
      if (!checked) return checked.error().message();
      if (found.findings_total != 0) return found.findings.front().message;
      if (!image) return "does not open: " + image.error().message();
      const auto content = content_of(*state.file, **image, parent);
      if (!content) return content.error().message();
      return *content == wanted ? "" : "shows other bytes";
    });
    EXPECT_EQ(report.failure, "");
    EXPECT_GT(refused, 100U);
    return report.states;
  }

  const testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Formats, ConvertCrash, ::testing::Values(FormatId::kVhd, FormatId::kVhdx),
                         [](const auto& format) { return std::string(to_string(format.param)); });

TEST_P(ConvertCrash, WhatIsAnsweredIsTheWholeDisk) {
  const Bytes bytes = pattern(1);
  Bytes base = bytes;
  std::memset(base.data() + kMiB, 0x33, 70'000);
  const Disk source = raw("source.raw", bytes);
  const std::string name{to_string(GetParam())};
  const std::string parent = folder_.path("parent." + name);
  ASSERT_TRUE(convert(raw("base.raw", base), parent, {}));

  std::uint64_t states = 0;
  for (int kind = 0; kind < 8; ++kind) {
    ConvertOptions options;
    options.target.format = GetParam();
    options.jobs = kind % 2 == 0 ? 1 : 2;
    const bool small = kind % 4 < 2;
    if (kind < 4) {
      options.target.type = DiskType::kDynamic;
      options.target.block_bytes = GetParam() == FormatId::kVhd ? (small ? 512 * kKiB : 2 * kMiB) : kMiB;
      if (GetParam() == FormatId::kVhdx) options.target.logical_sector_bytes = small ? 512 : 4096;
    } else if (kind < 6) {
      options.target.type = DiskType::kFixed;
    } else {
      options.target.parent = parent;
    }
    states += cut(source, options, bytes, options.target.parent.empty() ? Bytes(kDiskBytes) : base);
    if (HasFailure()) return;
  }
  RecordProperty("crash_states." + name + ".convert", std::to_string(states));
  EXPECT_GE(states, 10'000U);
}

}  // namespace
}  // namespace vdisk
