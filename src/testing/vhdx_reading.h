// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the VHDX folder share: opening, reading and checking an image in a line. Needs gtest.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "format/vhdx/vhdx.h"
#include "testing/vhdx_builder.h"

namespace vdisk::vhdx {

using vdisk::testing::VhdxBuilder;

inline Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, bool writable = false) {
  return kFormat.open(std::move(file), {.writable = writable, .limits = {}, .trace = {}});
}

inline std::unique_ptr<Image> must_open(std::unique_ptr<File> file) {
  auto image = open(std::move(file));
  if (!image) {
    ADD_FAILURE() << image.error().message();
    std::abort();
  }
  return std::move(*image);
}

/// The id of the fault that opening gives; "" when it succeeds.
inline std::string open_fault(std::unique_ptr<File> file) {
  const auto image = open(std::move(file));
  return image ? "" : std::string(image.error().id());
}

inline Win32Code open_code(std::unique_ptr<File> file) {
  const auto image = open(std::move(file));
  return image ? 0 : image.error().code();
}

/// What the image shows, byte by byte; bytes of the parent as -1.
inline std::vector<int> shown(Image& image, std::uint64_t at, std::uint64_t length) {
  std::vector<int> bytes;
  while (bytes.size() < length) {
    RunList runs;
    const auto covered = image.resolve_read({DiskOffset{at + bytes.size()}, length - bytes.size()}, runs);
    if (!covered) {
      ADD_FAILURE() << covered.error().message();
      return bytes;
    }
    for (const Run& run : runs) {
      EXPECT_EQ(run.at.bytes, at + bytes.size());
      if (run.source == Run::Source::kFile) {
        std::vector<std::byte> data(run.length);
        EXPECT_EQ(image.file().read(run.from, data), run.length) << "runs of the file lie inside the file";
        for (const std::byte b : data) bytes.push_back(static_cast<int>(b));
      } else {
        bytes.insert(bytes.end(), run.length, run.source == Run::Source::kParent ? -1 : 0);
      }
    }
  }
  return bytes;
}

inline CheckReport check(File& file) {
  CheckReport report;
  CheckSink sink(report, "test.vhdx");
  const Status status = kFormat.check(file, {}, sink, {});
  EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().message());
  return report;
}

/// The ids of the findings, in order, with a letter for the severity: "D vhdx.bat.overlap".
inline std::vector<std::string> findings(File& file) {
  std::vector<std::string> ids;
  for (const Finding& finding : check(file).findings) {
    ids.push_back(std::string(1, "NWD"[static_cast<int>(finding.severity)]) + " " + finding.fault);
  }
  return ids;
}

}  // namespace vdisk::vhdx
