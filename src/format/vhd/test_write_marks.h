// SPDX-License-Identifier: Apache-2.0
//
// A disk whose every sector remembers what it was told: for the tests that pull the plug or fail the I/O.
// Each write marks its sectors with their own numbers and the write's, so that another block's bytes, an
// older value and a torn mixture all show.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "format/vhd/test_write_support.h"

namespace vdisk::vhd {

/// What a sector shows.
using Mark = std::uint64_t;
inline constexpr Mark kZeroMark = 0;
inline constexpr Mark kParentMark = 0xEEEE'EEEE'EEEE'EEEE;
inline constexpr Mark kGarbageMark = ~Mark{0};  ///< Not 64 times the same eight bytes.

constexpr Mark mark_of(std::uint64_t sector, std::uint32_t write) noexcept {
  return (sector + 1) << 24 | (write & 0xFF'FFFF);
}

inline Mark read_mark(std::span<const std::byte> sector) noexcept {
  const auto first = load<Le<std::uint64_t>>(sector).get();
  for (std::size_t i = 8; i < sector.size(); i += 8) {
    if (load<Le<std::uint64_t>>(sector.subspan(i)).get() != first) return kGarbageMark;
  }
  return first;
}

/// The history of each sector of a disk.
class History {
 public:
  History(std::uint64_t sectors, Mark initial) : values_(sectors, std::vector<Mark>{initial}) {}

  std::uint64_t sectors() const { return values_.size(); }
  Mark now(std::uint64_t sector) const { return values_[sector].back(); }
  void add(std::uint64_t sector, Mark mark) { values_[sector].push_back(mark); }

  /// How long each history is: what a flush that begins now makes certain.
  using Moment = std::vector<std::uint32_t>;
  Moment moment() const {
    Moment lengths;
    for (const auto& marks : values_) lengths.push_back(static_cast<std::uint32_t>(marks.size() - 1));
    return lengths;
  }
  bool allows(std::uint64_t sector, std::uint32_t from, Mark mark) const {
    const auto& marks = values_[sector];
    return std::find(marks.begin() + from, marks.end(), mark) != marks.end();
  }
  /// The sectors to look at: those that were written, their neighbours, and some of all others.
  std::vector<std::uint64_t> interesting() const {
    std::vector<std::uint64_t> result;
    const auto written = [&](std::uint64_t s) {
      return s < values_.size() &&
             std::ranges::any_of(
                 values_[s], [](Mark mark) { return mark != kZeroMark && mark != kParentMark; });
    };
    const std::uint64_t step = std::max<std::uint64_t>(1, values_.size() / 120);
    for (std::uint64_t s = 0; s < values_.size(); ++s) {
      if (written(s) || written(s + 1) || (s > 0 && written(s - 1)) || s % step == 0) result.push_back(s);
    }
    return result;
  }

 private:
  std::vector<std::vector<Mark>> values_;
};

/// What the image shows of `sector`.
inline Mark mark_at(Image& image, std::uint64_t sector) {
  RunList runs;
  const auto covered = image.resolve_read({DiskOffset{sector * 512}, 512}, runs);
  if (!covered || *covered != 512) return kGarbageMark;
  if (runs.back().source == Run::Source::kZero) return kZeroMark;
  if (runs.back().source == Run::Source::kParent) return kParentMark;
  std::byte bytes[512];
  if (!read_exactly(image.file(), runs.back().from, bytes)) return kGarbageMark;
  return read_mark(bytes);
}

/// Opens `file` for reading and compares `sectors`; "" or what is wrong. `from`: the histories count from
/// there.
inline std::string judge_disk(const std::shared_ptr<File>& file, const History& history,
                              const History::Moment& from, const std::vector<std::uint64_t>& sectors) {
  const auto image = open_shared(file, /*writable=*/false);
  if (!image) return "does not open: " + image.error().message();
  CheckReport report;
  CheckSink sink(report, "test.vhd");
  if (const Status status = check(*file, ImageOpen{}, sink, {}); !status) return status.error().message();
  if (report.damaged()) return "check: " + report.findings.front().message;
  for (const std::uint64_t sector : sectors) {
    const Mark mark = mark_at(**image, sector);
    if (history.allows(sector, from[sector], mark)) continue;
    return fmt::format("sector {} shows {:#x}, where {:#x} is certain and {:#x} was the last", sector, mark,
                       history.allows(sector, 0, mark) ? 1 : 0, history.now(sector));
  }
  return {};
}

/// A session on a file, with its history.
class MarkedDisk {
 public:
  MarkedDisk(std::shared_ptr<File> file, DiskType type, std::uint64_t sectors, std::uint32_t block_bytes)
      : history(sectors, type == DiskType::kDifferencing ? kParentMark : kZeroMark),
        file_(std::move(file)),
        type_(type),
        block_sectors_(block_bytes / 512) {}

  /// `memory`: of what the sessions before this one answered and did not flush.
  Status open(const Growth& growth, IntentMemory* memory = nullptr) {
    image_ = VDISK_TRY(open_shared(file_, true, growth));
    return memory == nullptr ? Status{} : image_->keep_intents(*memory);
  }
  /// Takes what is there for what was written.
  void observe() {
    for (std::uint64_t s = 0; s < history.sectors(); ++s) {
      const Mark mark = mark_at(*image_, s);
      if (mark != history.now(s)) history.add(s, mark);
    }
  }
  bool is_open() const { return image_ != nullptr; }
  Image& image() { return *image_; }
  void drop() { image_.reset(); }

  Status write(std::uint64_t first, std::uint64_t count) {
    ++writes_;
    std::vector<std::byte> bytes(count * 512);
    for (std::uint64_t s = 0; s < count; ++s) {
      const Mark mark = mark_of(first + s, writes_);
      history.add(first + s, mark);
      for (std::size_t i = 0; i < 512; i += 8) {
        store(std::span(bytes).subspan(s * 512 + i), Le<std::uint64_t>(mark));
      }
    }
    return write_disk(*image_, first * 512, bytes);
  }
  Status zero(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t s = first; s < first + count; ++s) history.add(s, kZeroMark);
    return zero_disk(*image_, first * 512, count * 512);
  }
  Status trim(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t block = divide_up(first, block_sectors_); block * block_sectors_ < first + count;
         ++block) {
      const std::uint64_t start = block * block_sectors_;
      const std::uint64_t end = std::min<std::uint64_t>(start + block_sectors_, history.sectors());
      if (end > first + count) break;
      for (std::uint64_t s = start; s < end; ++s) {
        if (type_ == DiskType::kDynamic || history.now(s) != kParentMark) history.add(s, kZeroMark);
      }
    }
    return trim_disk(*image_, first * 512, count * 512);
  }

  History history;

 private:
  const std::shared_ptr<File> file_;
  const DiskType type_;
  const std::uint64_t block_sectors_;
  std::unique_ptr<Image> image_;
  std::uint32_t writes_ = 0;
};

/// The shapes of disk that the tests go through.
struct Shape {
  DiskType type = DiskType::kDynamic;
  std::uint32_t block_bytes = 4096;
  std::uint64_t blocks = 16;
  int variant = 0;  ///< Of the file that the session begins with.

  std::uint64_t sectors() const { return blocks * (block_bytes / 512); }
  VhdBuilder builder() const {
    auto file = type == DiskType::kDynamic ? VhdBuilder::dynamic(sectors() * 512, block_bytes)
                                           : VhdBuilder::differencing(sectors() * 512, block_bytes);
    if (type == DiskType::kDifferencing) file.parent(vhd_id(2), ".\\a.vhd");
    switch (variant) {
      case 1:
        file.windows_alignment().allocate(2).allocate(5);
        break;
      case 2:
        file.break_front_footer().allocate(1);
        break;
      case 3:
        file.omit_end_footer().allocate(1);
        break;
      case 4:
        file.xen_batmap().allocate(3);
        break;
      case 5:
        file.short_footer().allocate(3);
        break;
      case 6:
        file.break_end_footer().allocate(3).gap_between_blocks(5 * block_bytes);
        break;
      case 7:
        file.allocate(1).allocate(3).gap_between_blocks(3 * std::uint64_t{block_bytes} + 8192);
        // Bytes that no bit shows, as a crash leaves them.
        file.fill(block_bytes / 512, block_bytes / 512, 0x77)
            .mark(block_bytes / 512, block_bytes / 512, false);
        break;
      default:
        break;
    }
    return file;
  }
};

}  // namespace vdisk::vhd
