// SPDX-License-Identifier: Apache-2.0
//
// What the tests of writing share: an image that is written as Disk writes it, and a model of what it must
// show. The model knows, for each 512 bytes, every value they ever had.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "testing/image_writing.h"
#include "testing/shared_file.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {

using testing::discard_image;
using testing::SharedFile;
using testing::write_image;

/// What 512 bytes hold: 0 is zeros, kParent is the parent's, else eight bytes over and over.
using Stamp = std::uint64_t;
inline constexpr std::uint64_t kUnit = 512;
inline constexpr Stamp kParent = ~Stamp{0};
/// Of no value that anyone wrote: the bytes of one unit differ among themselves.
inline constexpr Stamp kMixed = ~Stamp{0} - 1;

inline Stamp stamp_of(std::span<const std::byte> unit) {
  const auto first = load<Le<std::uint64_t>>(unit).get();
  for (std::size_t i = 8; i < unit.size(); i += 8) {
    if (load<Le<std::uint64_t>>(unit.subspan(i)).get() != first) return kMixed;
  }
  return first;
}

/// The stamp that operation `op` writes at `unit`: says whose it is.
inline Stamp stamp_for(std::uint64_t op, std::uint64_t unit) { return op << 32 | (unit + 1); }

inline std::vector<std::byte> stamped(std::uint64_t at, std::uint64_t length, std::uint64_t op) {
  std::vector<std::byte> bytes(length);
  for (std::uint64_t i = 0; i < length; i += 8) {
    store(std::span(bytes).subspan(i), Le<std::uint64_t>(stamp_for(op, (at + i) / kUnit)));
  }
  return bytes;
}

/// What the image shows in whole units, through resolve_read.
inline Result<std::vector<Stamp>> shown_stamps(Image& image, std::uint64_t at, std::uint64_t length) {
  std::vector<Stamp> stamps;
  RunList runs;
  std::vector<std::byte> bytes;
  for (std::uint64_t done = 0; done < length;) {
    const std::uint64_t covered = VDISK_TRY(image.resolve_read({DiskOffset{at + done}, length - done}, runs));
    for (const Run& run : runs) {
      if (run.source != Run::Source::kFile) {
        stamps.insert(stamps.end(), run.length / kUnit, run.source == Run::Source::kZero ? 0 : kParent);
        continue;
      }
      bytes.resize(run.length);
      VDISK_TRY(read_exactly(image.file(), run.from, bytes));
      for (std::uint64_t i = 0; i < run.length; i += kUnit) {
        stamps.push_back(stamp_of(std::span(bytes).subspan(i, kUnit)));
      }
    }
    done += covered;
  }
  return stamps;
}

/// Every value that each unit had, with the number of the operation that gave it.
class Model {
 public:
  Model(std::uint64_t disk_bytes, Stamp initial) : disk_bytes_(disk_bytes), initial_(initial) {}

  void write(std::uint64_t at, std::uint64_t length, std::uint64_t op) {
    for (std::uint64_t unit = at / kUnit; unit < (at + length) / kUnit; ++unit) {
      history_[unit].emplace_back(op, stamp_for(op, unit));
    }
  }
  void zero(std::uint64_t at, std::uint64_t length, std::uint64_t op) {
    for (std::uint64_t unit = at / kUnit; unit < (at + length) / kUnit; ++unit) {
      history_[unit].emplace_back(op, 0);
    }
  }
  Stamp now(std::uint64_t unit) const {
    const auto found = history_.find(unit);
    return found == history_.end() ? initial_ : found->second.back().second;
  }
  /// True when the unit may show this after a crash: its value when operation `flushed` was the last, or a
  /// later one.
  bool may_show(std::uint64_t unit, Stamp stamp, std::uint64_t flushed) const {
    const auto found = history_.find(unit);
    if (found == history_.end()) return stamp == initial_;
    bool allowed = stamp == initial_;
    for (const auto& [op, value] : found->second) {
      const bool replaces = op <= flushed && !failed_.contains(op);
      allowed = value == stamp || (allowed && !replaces);
    }
    return allowed;
  }
  /// The operation failed: any part of it may have happened.
  void fail(std::uint64_t op) { failed_.insert(op); }
  std::uint64_t disk_bytes() const { return disk_bytes_; }

  /// "" or the first unit of the range that does not show what it must.
  std::string compare(Image& image, std::uint64_t at, std::uint64_t length) const {
    const auto stamps = shown_stamps(image, at, length);
    if (!stamps) return stamps.error().message();
    for (std::uint64_t i = 0; i < stamps->size(); ++i) {
      const std::uint64_t unit = at / kUnit + i;
      if ((*stamps)[i] != now(unit)) return tell(unit, (*stamps)[i], now(unit));
    }
    return {};
  }
  std::string compare_after_crash(Image& image, std::uint64_t at, std::uint64_t length,
                                  std::uint64_t flushed) const {
    const auto stamps = shown_stamps(image, at, length);
    if (!stamps) return stamps.error().message();
    for (std::uint64_t i = 0; i < stamps->size(); ++i) {
      const std::uint64_t unit = at / kUnit + i;
      if (!may_show(unit, (*stamps)[i], flushed)) return tell(unit, (*stamps)[i], now(unit));
    }
    return {};
  }

 private:
  static std::string tell(std::uint64_t unit, Stamp got, Stamp wanted) {
    return fmt::format("unit {:#x} (disk offset {:#x}) shows {:#x}, the model has {:#x}", unit, unit * kUnit,
                       got, wanted);
  }

  std::uint64_t disk_bytes_;
  Stamp initial_;
  std::map<std::uint64_t, std::vector<std::pair<std::uint64_t, Stamp>>> history_;
  std::set<std::uint64_t> failed_;
};

inline std::unique_ptr<Image> must_open_writable(std::unique_ptr<File> file) {
  auto image = open(std::move(file), true);
  if (!image) {
    ADD_FAILURE() << image.error().message();
    std::abort();
  }
  return std::move(*image);
}
inline std::unique_ptr<Image> open_shared(const std::shared_ptr<File>& file) {
  return must_open_writable(std::make_unique<SharedFile>(file));
}

/// "" when the file's check finds nothing worse than notes. After a crash space may be lost and a header
/// torn: both cost nothing but space and redundancy, and the next session mends them.
inline std::string check_problem(File& file, bool after_crash) {
  for (const Finding& finding : check(file).findings) {
    if (finding.severity == Finding::Severity::kNote) continue;
    if (after_crash && (finding.fault == "vhdx.check.leak" || finding.fault == "vhdx.check.header_copy"))
      continue;
    return finding.fault + ": " + finding.message;
  }
  return {};
}

inline std::string message_of(const Status& status) { return status ? "" : status.error().message(); }

/// One way a disk may be.
struct Shape {
  bool differencing = false;
  std::uint32_t sector_bytes = 512;
  std::uint64_t disk_bytes = 12 * kMiB;
  std::uint32_t block_bytes = kMiB;

  VhdxBuilder builder() const {
    VhdxBuilder made(disk_bytes, block_bytes);
    if (differencing) made.differencing();
    if (sector_bytes != 512) made.sectors(sector_bytes, 4096);
    return made;
  }
  std::shared_ptr<File> file() const { return builder().build(); }
  Stamp initial() const { return differencing ? kParent : 0; }
  std::string name() const {
    return fmt::format("{}_{}", differencing ? "differencing" : "dynamic", sector_bytes);
  }
};
inline std::vector<Shape> all_shapes() { return {{false, 512}, {false, 4096}, {true, 512}, {true, 4096}}; }

}  // namespace vdisk::vhdx
