// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "format/vhd/vhd.h"
#include "io/memory_file.h"
#include "testing/vhd_builder.h"

namespace vdisk::vhd {

using testing::vhd_id;
using testing::VhdBuilder;

/// What stands for the parent's bytes in `read_disk`.
inline constexpr std::byte kParentByte{0xEE};

inline ImageOpen with_write(bool writable) {
  ImageOpen options;
  options.writable = writable;
  return options;
}

inline Result<std::unique_ptr<Image>> open_image(const VhdBuilder& builder, bool writable = false) {
  return kFormat.open(builder.file(), with_write(writable));
}

/// The fault's id, or "" of a success.
template <class T>
std::string fault_of(const Result<T>& result) {
  return result ? std::string() : std::string(result.error().id());
}
inline std::string fault_at_open(const VhdBuilder& builder, bool writable = false) {
  return fault_of(open_image(builder, writable));
}

/// The disk's bytes in [at, at + length), however many resolve_read calls it takes.
inline std::vector<std::byte> read_disk(Image& image, std::uint64_t at, std::uint64_t length) {
  std::vector<std::byte> bytes(length, std::byte{0xDD});
  for (std::uint64_t done = 0; done < length;) {
    RunList runs;
    const auto covered = image.resolve_read({DiskOffset{at + done}, length - done}, runs);
    if (!covered || *covered == 0) {
      ADD_FAILURE() << (covered ? "nothing covered" : covered.error().message());
      return {};
    }
    std::uint64_t expected = at + done;
    for (const Run& run : runs) {
      EXPECT_EQ(run.at.bytes, expected);
      expected = run.end();
      const auto into = std::span(bytes).subspan(run.at.bytes - at, run.length);
      if (run.source == Run::Source::kFile) {
        EXPECT_TRUE(read_exactly(image.file(), run.from, into).has_value());
      } else {
        std::ranges::fill(into, run.source == Run::Source::kZero ? std::byte{0} : kParentByte);
      }
    }
    EXPECT_EQ(expected, at + done + *covered);
    done += *covered;
  }
  return bytes;
}

inline std::uint8_t byte_at(Image& image, std::uint64_t at) {
  const auto bytes = read_disk(image, at, 1);
  return bytes.empty() ? 0xDD : std::to_integer<std::uint8_t>(bytes[0]);
}

inline std::string detail(const Image& image, std::string_view name) {
  for (const auto& [key, value] : image.properties().details) {
    if (key == name) return value;
  }
  return "(none)";
}

inline bool has_note(const Image& image, std::string_view part) {
  return std::ranges::any_of(image.properties().notes,
                             [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

inline std::vector<std::byte> zeros(std::size_t count) { return std::vector<std::byte>(count); }

}  // namespace vdisk::vhd
