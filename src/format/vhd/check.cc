// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/check.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/checked.h"
#include "base/text.h"
#include "format/vhd/block_table.h"
#include "format/vhd/faults.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

using Severity = Finding::Severity;

/// Gaps below this are the padding by which Windows and Xen align block data, not leaks: Windows leaves up to
/// 5632 bytes between its table and the first block (formats.md 1.15; seen in files of 6.3 and 10.0).
constexpr std::uint64_t kPaddingBytes = 8192;

void check_footers(const Parsed& parsed, CheckSink& sink) {
  const Footers& footers = parsed.footers;
  if (!is_multiple(footers.file_bytes, kSectorBytes)) {
    sink.add(Severity::kWarning, faults::kFileLength, "the file's length of {} bytes is no multiple of 512",
             footers.file_bytes);
  }
  if (parsed.read_only_fault != nullptr) {
    sink.add(Severity::kDamage, *parsed.read_only_fault, "{}", parsed.read_only_reason);
  }
  if (footers.chosen_place == FooterPlace::kFront) {
    sink.add(Severity::kWarning, faults::kFooterCopy,
             "the footer at the end is {}; only the copy at the front keeps the image readable",
             footers.end.present() ? "damaged" : "missing");
  } else if (footers.chosen_place != FooterPlace::kNone && !parsed.fixed()) {
    if (!footers.front.good()) {
      sink.add(Severity::kWarning, faults::kFooterCopy, "the footer's copy at the front is {}",
               footers.front.present() ? "damaged" : "missing");
    } else if (!footers.disagree() &&
               !std::ranges::equal(bytes_of(footers.end.footer), bytes_of(footers.front.footer))) {
      sink.add(Severity::kWarning, faults::kFooterCopy,
               "the two copies of the footer are valid but not the same; the one at the end counts");
    }
  }
  if (parsed.footer && footers.chosen_place != FooterPlace::kNone && parsed.footer->saved_state != 0) {
    sink.add(Severity::kNote, faults::kSavedState,
             "a virtual machine was saved on this disk: do not compact, expand or merge it");
  }
}

void check_fixed(const Parsed& parsed, CheckSink& sink) {
  const std::uint64_t unused = parsed.limit_bytes - parsed.properties.geometry.virtual_size_bytes;
  if (unused == 0) return;
  sink.report().leaked_bytes += unused;
  sink.add(Severity::kNote, faults::kPadding, "{} unused bytes lie between the data and the footer at {:#x}",
           unused, parsed.limit_bytes);
}

Status check_locators(File& file, const Parsed& parsed, CheckSink& sink) {
  for (const LocatorText& locator :
       VDISK_TRY(read_locators(file, *parsed.header, parsed.footers.file_bytes))) {
    if (!locator.problem.empty()) {
      sink.add(locator.code_name.empty() ? Severity::kNote : Severity::kWarning, faults::kLocator,
               "parent locator {} is ignored: {}", locator.code_name, locator.problem);
    } else if (locator.code_name == "W2ru" && !locator.text.starts_with(".\\")) {
      sink.add(Severity::kNote, faults::kLocator,
               "the relative parent path '{}' does not begin with '.\\', which some programs require",
               locator.text);
    }
  }
  if (parsed.properties.parent->candidates.empty()) {
    sink.add(Severity::kDamage, faults::kLocator, "nothing in the image says where its parent is");
  }
  return {};
}

/// Examines the whole block table. Blocks are put in file order with one bit per sector of the file, a window
/// of 64 GiB of file at a time, so that memory does not follow the table's size.
class TableCheck {
 public:
  TableCheck(File& file, const Parsed& parsed, CheckSink& sink, const OperationControl& control)
      : file_(file),
        parsed_(parsed),
        sink_(sink),
        control_(control),
        reserved_(all_reserved(parsed)),
        stride_sectors_((std::uint64_t{parsed.bitmap_bytes} + parsed.properties.geometry.block_bytes) /
                        kSectorBytes),
        sector_count_(std::min(parsed.limit_bytes / kSectorBytes, std::uint64_t{kUnallocated})),
        pass_count_(std::max<std::uint64_t>(1, divide_up(sector_count_, kWindowSectors))) {}

  Status run() {
    window_.resize(divide_up(std::min(sector_count_, kWindowSectors), 64));
    for (std::uint64_t pass = 0; pass < pass_count_; ++pass) {
      std::ranges::fill(window_, 0);
      VDISK_TRY(read_table(pass));
      walk_window(pass);
    }
    count_leaks(covered_bytes_, parsed_.limit_bytes);
    summarise();
    return {};
  }

 private:
  static constexpr std::uint64_t kWindowSectors = std::uint64_t{1} << 27;
  static constexpr std::size_t kChunkEntries = 16 * 1024;

  Status read_table(std::uint64_t pass) {
    std::vector<Be<std::uint32_t>> chunk(kChunkEntries);
    const std::uint64_t entry_count = parsed_.header->max_table_entries;
    for (std::uint64_t first = 0; first < entry_count; first += kChunkEntries) {
      if (control_.cancellation.cancelled()) {
        return fail(vdisk::faults::kCancelled, "{}: the check was cancelled", file_.name());
      }
      const auto entries =
          std::span(chunk).first(std::min<std::uint64_t>(kChunkEntries, entry_count - first));
      const FileOffset at{parsed_.header->table_offset + first * sizeof(std::uint32_t)};
      VDISK_TRY(read_exactly(file_, at, std::as_writable_bytes(entries)));
      for (std::size_t i = 0; i < entries.size(); ++i) {
        if (entries[i] != kUnallocated) take(pass, first + i, entries[i]);
      }
      if (control_.progress) {
        control_.progress({pass * entry_count + first + entries.size(), pass_count_ * entry_count});
      }
    }
    return {};
  }

  void take(std::uint64_t pass, std::uint64_t block, std::uint32_t sector) {
    if (block >= parsed_.block_count) {
      if (pass == 0) ++spare_;
      return;
    }
    const EntryVerdict verdict = judge_entry(parsed_, block, sector);
    if (pass == 0) count(block, sector, verdict);
    if (verdict.flaw == EntryFlaw::kRange) return;
    if (sector / kWindowSectors != pass) return;
    std::uint64_t& word = window_[sector % kWindowSectors / 64];
    const std::uint64_t bit = std::uint64_t{1} << sector % 64;
    if ((word & bit) != 0) {
      sink_.add(Severity::kDamage, faults::kBatOverlap, "block {} lies at {:#x}, where another block lies",
                block, std::uint64_t{sector} * kSectorBytes);
    }
    word |= bit;
  }

  void count(std::uint64_t block, std::uint32_t sector, EntryVerdict verdict) {
    ++allocated_;
    const std::uint64_t at = std::uint64_t{sector} * kSectorBytes;
    if (!is_multiple(at + parsed_.bitmap_bytes, 4096)) ++unaligned_;
    if (verdict.flaw == EntryFlaw::kShortTail) {
      sink_.add(Severity::kDamage, faults::kLastBlockShort,
                "the file ends inside the last block, {}; every sector of the disk is there", block);
    } else if (verdict.flaw != EntryFlaw::kNone) {
      sink_.add(fail_entry(file_, parsed_, block, sector, verdict).error());
    }
  }

  /// Goes through the window's blocks in file order: who reaches into the next, and what lies between.
  void walk_window(std::uint64_t pass) {
    for (std::size_t i = 0; i < window_.size(); ++i) {
      for (std::uint64_t word = window_[i]; word != 0; word &= word - 1) {
        const std::uint64_t sector =
            pass * kWindowSectors + i * 64 + static_cast<std::uint64_t>(std::countr_zero(word));
        const std::uint64_t at = sector * kSectorBytes;
        if (at < covered_bytes_) {
          sink_.add(Severity::kDamage, faults::kBatOverlap,
                    "the block at {:#x} reaches into the block at {:#x}", last_at_, at);
        } else {
          count_leaks(covered_bytes_, at);
        }
        last_at_ = at;
        covered_bytes_ = std::min(at + stride_sectors_ * kSectorBytes, parsed_.limit_bytes);
      }
    }
  }

  /// Counts the parts of [from, to) that are not metadata either.
  void count_leaks(std::uint64_t from, std::uint64_t to) {
    for (const Reserved& reserved : reserved_) {
      const std::uint64_t reserved_end = reserved.at + reserved.length;
      if (reserved_end <= from) continue;
      if (reserved.at >= to) break;
      if (reserved.at > from) count_gap(from, reserved.at);
      from = reserved_end;
    }
    if (from < to) count_gap(from, to);
  }

  void count_gap(std::uint64_t from, std::uint64_t to) {
    if (to - from < kPaddingBytes) return;
    sink_.report().leaked_bytes += to - from;
    sink_.add(Severity::kWarning, faults::kLeaked, "nothing refers to the {} bytes at {:#x}", to - from,
              from);
  }

  void summarise() {
    sink_.report().blocks_total += parsed_.block_count;
    sink_.report().blocks_allocated += allocated_;
    if (unaligned_ != 0) {
      sink_.add(Severity::kNote, faults::kAlignment, "the data of {} of {} is not aligned to 4096 bytes",
                unaligned_, counted(allocated_, "block", "blocks"));
    }
    if (spare_ != 0) {
      sink_.add(Severity::kNote, faults::kBatSpare,
                "{} of the block allocation table past the disk's {} {} not empty",
                counted(spare_, "entry", "entries"), counted(parsed_.block_count, "block", "blocks"),
                spare_ == 1 ? "is" : "are");
    }
  }

  File& file_;
  const Parsed& parsed_;
  CheckSink& sink_;
  const OperationControl& control_;
  const std::vector<Reserved> reserved_;  // by place
  const std::uint64_t stride_sectors_;
  const std::uint64_t sector_count_;
  const std::uint64_t pass_count_;
  std::vector<std::uint64_t> window_;  // one bit per sector: a block's bitmap begins there
  std::uint64_t covered_bytes_ = 0;    // end of the last block met in file order
  std::uint64_t last_at_ = 0;
  std::uint64_t allocated_ = 0;
  std::uint64_t unaligned_ = 0;
  std::uint64_t spare_ = 0;
};

}  // namespace

Status check(File& file, const ImageOpen&, CheckSink& sink, const OperationControl& control) {
  Parsed parsed;
  Status status = parse(file, parsed);
  if (!status && !status.error().id().starts_with("vhd.")) return status;
  check_footers(parsed, sink);
  if (!status) {
    sink.add(status.error());
    return {};
  }
  if (parsed.fixed()) {
    check_fixed(parsed, sink);
    return {};
  }
  if (parsed.properties.parent) VDISK_TRY(check_locators(file, parsed, sink));
  // Sector bitmaps can hold no wrong value, and lie before their block's data: the table says all about them.
  return TableCheck(file, parsed, sink, control).run();
}

}  // namespace vdisk::vhd
