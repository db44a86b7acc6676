// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/bat.h"

#include <algorithm>
#include <vector>

#include "format/vhdx/faults.h"

namespace vdisk::vhdx {

BatGeometry BatGeometry::of(std::uint64_t disk_bytes, std::uint32_t block_bytes, std::uint32_t sector_bytes,
                            bool differencing) noexcept {
  BatGeometry g;
  g.disk_bytes = disk_bytes;
  g.block_bytes = block_bytes;
  g.sector_bytes = sector_bytes;
  g.differencing = differencing;
  g.block_shift = static_cast<unsigned>(std::countr_zero(block_bytes));
  g.sector_shift = static_cast<unsigned>(std::countr_zero(sector_bytes));
  g.ratio_shift = static_cast<unsigned>(std::countr_zero(kSectorsPerChunk)) + g.sector_shift - g.block_shift;
  g.payload_blocks = divide_up(disk_bytes, block_bytes);
  g.chunks = divide_up(g.payload_blocks, g.chunk_ratio());
  g.entry_count = differencing ? g.chunks * (g.chunk_ratio() + 1)
                               : g.payload_blocks + (g.payload_blocks - 1) / g.chunk_ratio();
  return g;
}

std::string describe_entry(const BatGeometry& geometry, std::uint64_t index) {
  if (geometry.is_bitmap_index(index)) {
    return fmt::format("sector bitmap block of chunk {} (BAT entry {})", geometry.chunk_of_index(index),
                       index);
  }
  return fmt::format("payload block {} (BAT entry {})", geometry.block_from_index(index), index);
}

BatRules::BatRules(const BatGeometry& geometry, OccupiedSpace occupied, std::uint64_t file_bytes,
                   std::string file_name)
    : geometry_(geometry),
      occupied_(std::move(occupied)),
      rounded_file_bytes_(rounded_file_bytes(file_bytes)),
      file_name_(std::move(file_name)) {}

bool BatRules::place_is_free(std::uint64_t at, std::uint64_t length) const noexcept {
  return fits_within(at, length, rounded_file_bytes_) && occupied_.find(at, length) == nullptr;
}

Status BatRules::judge_place(std::uint64_t index, BatEntry entry, std::uint64_t length) const {
  const std::uint64_t at = entry.file_offset();
  if (!fits_within(at, length, rounded_file_bytes_)) {
    return fail(faults::kBatPlace,
                "{}: {} at {:#x} ends behind the file, which has {:#x} bytes when rounded up to MiB",
                file_name_, describe_entry(geometry_, index), at, rounded_file_bytes_);
  }
  if (const auto* there = occupied_.find(at, length)) {
    return fail(faults::kBatPlace, "{}: {} at {:#x} lies upon the {} at {:#x}", file_name_,
                describe_entry(geometry_, index), at, there->what, there->at);
  }
  return {};
}

std::uint64_t BatRules::space_of(std::uint64_t index, BatEntry entry) const noexcept {
  if (geometry_.is_bitmap_index(index)) {
    // Only differencing disks have bitmaps; what other files write there is not read (formats.md 2.8).
    return geometry_.differencing && entry.bitmap_present() ? kBitmapBlockBytes : 0;
  }
  return entry.has_payload() && geometry_.block_from_index(index) < geometry_.payload_blocks
             ? geometry_.block_bytes
             : 0;
}

Status BatRules::judge(std::uint64_t index, BatEntry entry) const {
  if (geometry_.is_bitmap_index(index)) {
    if (!geometry_.differencing) return {};
    if (entry.state() != static_cast<unsigned>(BitmapState::kNotPresent) && !entry.bitmap_present()) {
      return fail(faults::kBatState, "{}: {} has state {}; 0 and 6 are legal", file_name_,
                  describe_entry(geometry_, index), entry.state());
    }
  } else {
    // Entries behind the disk's end fill up a differencing disk's last chunk.
    if (geometry_.block_from_index(index) >= geometry_.payload_blocks) return {};
    const unsigned state = entry.state();
    if (state == 4 || state == 5) {
      return fail(faults::kBatState, "{}: {} has the reserved state {}", file_name_,
                  describe_entry(geometry_, index), state);
    }
    if (entry.payload_state() == PayloadState::kPartiallyPresent && !geometry_.differencing) {
      return fail(faults::kBatState, "{}: {} is partially present, but the disk has no parent", file_name_,
                  describe_entry(geometry_, index));
    }
  }
  const std::uint64_t length = space_of(index, entry);
  // Offsets of blocks that are not read (UNDEFINED, UNMAPPED) are soft anchors: a bad one harms no reader.
  return length == 0 ? Status{} : judge_place(index, entry, length);
}

Status scan_bat(File& file, const Region& bat, const BatGeometry& geometry,
                const std::function<Status(std::uint64_t, BatEntry)>& visit,
                const std::function<Status(std::uint64_t)>& before_piece) {
  constexpr std::uint64_t kPieceBytes = 64 * kKiB;
  const std::uint64_t table_bytes = geometry.entry_count * kBatEntryBytes;
  std::vector<std::byte> piece(std::min(kPieceBytes, table_bytes));
  for (std::uint64_t done = 0; done < table_bytes;) {
    if (before_piece) VDISK_TRY(before_piece(done));
    const std::uint64_t data = VDISK_TRY(file.next_data(FileOffset{bat.file_offset + done})).bytes;
    // Never backwards, whatever the file says.
    if (data > bat.file_offset + done)
      done = std::min(round_down(data - bat.file_offset, kBatEntryBytes), table_bytes);
    const std::uint64_t length = std::min(kPieceBytes, table_bytes - done);
    const auto bytes = std::span(piece).first(length);
    if (length == 0) break;
    if (VDISK_TRY(read_zero_padded(file, FileOffset{bat.file_offset + done}, bytes)) == 0)
      break;  // The file's end.
    for (std::uint64_t at = 0; at < length; at += kBatEntryBytes) {
      const BatEntry entry{load<Le<std::uint64_t>>(bytes.subspan(at))};
      if (entry.raw != 0) VDISK_TRY(visit((done + at) / kBatEntryBytes, entry));
    }
    done += length;
  }
  if (before_piece) VDISK_TRY(before_piece(table_bytes));
  return {};
}

Status PartialBlockWatch::visit(std::uint64_t index, BatEntry entry) {
  if (!geometry_.differencing) return {};
  if (waiting_ && geometry_.chunk_of_index(index) != geometry_.chunk_of_index(*waiting_)) VDISK_TRY(finish());
  if (geometry_.is_bitmap_index(index)) {
    if (entry.bitmap_present()) waiting_.reset();
  } else if (entry.payload_state() == PayloadState::kPartiallyPresent && !waiting_ &&
             geometry_.block_from_index(index) < geometry_.payload_blocks) {
    waiting_ = index;
  }
  return {};
}

Status PartialBlockWatch::finish() {
  if (!waiting_) return {};
  const std::uint64_t index = *waiting_;
  waiting_.reset();
  return fail(faults::kBitmapMissing, "{}: {} is partially present, but chunk {} has no sector bitmap block",
              file_name_, describe_entry(geometry_, index), geometry_.chunk_of_index(index));
}

Status judge_small_bat(File& file, const Region& bat, const BatRules& rules) {
  struct Claim {
    std::uint64_t at;
    std::uint64_t index;
  };
  const BatGeometry& geometry = rules.geometry();
  std::vector<Claim> claims;  // At most 131,072.
  PartialBlockWatch watch(geometry, rules.file_name());
  const auto visit = [&](std::uint64_t index, BatEntry entry) -> Status {
    VDISK_TRY(rules.judge(index, entry));
    VDISK_TRY(watch.visit(index, entry));
    if (rules.space_of(index, entry) != 0) claims.push_back({entry.file_offset(), index});
    return {};
  };
  VDISK_TRY(scan_bat(file, bat, geometry, visit));
  VDISK_TRY(watch.finish());
  // Most files grow in order.
  if (!std::ranges::is_sorted(claims, {}, &Claim::at)) std::ranges::sort(claims, {}, &Claim::at);
  for (std::size_t i = 1; i < claims.size(); ++i) {
    const Claim& before = claims[i - 1];
    const std::uint64_t length =
        geometry.is_bitmap_index(before.index) ? kBitmapBlockBytes : geometry.block_bytes;
    if (claims[i].at < before.at + length) {
      return fail(faults::kBatOverlap, "{}: {} at {:#x} and {} at {:#x} overlap", rules.file_name(),
                  describe_entry(geometry, before.index), before.at,
                  describe_entry(geometry, claims[i].index), claims[i].at);
    }
  }
  return {};
}

Bat::Bat(File& file, const Region& region, BatRules rules, std::uint64_t most_bytes)
    : file_(file),
      at_(region.file_offset),
      table_bytes_(rules.geometry().entry_count * kBatEntryBytes),
      rules_(std::move(rules)),
      table_(divide_up(table_bytes_, PagedTable::kPageBytes), most_bytes,
             [this](std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into) {
               return load_page(page_number, into);
             }) {}

Status Bat::load_page(std::uint64_t page_number, std::span<std::byte, PagedTable::kPageBytes> into) {
  const std::uint64_t from = page_number * PagedTable::kPageBytes;
  const std::uint64_t length = std::min<std::uint64_t>(into.size(), table_bytes_ - from);
  std::ranges::fill(into.subspan(length), std::byte{0});  // Behind the last entry anything may stand.
  static_cast<void>(VDISK_TRY_CONTEXT(read_zero_padded(file_, FileOffset{at_ + from}, into.first(length)),
                                      "reading BAT page {}", page_number));
  const std::uint64_t first = page_number * kEntriesPerPage;
  for (std::uint64_t i = 0; i < length / kBatEntryBytes; ++i) {
    const BatEntry entry{load<Le<std::uint64_t>>(into.subspan(i * kBatEntryBytes))};
    if (entry.raw != 0) VDISK_TRY_CONTEXT(rules_.judge(first + i, entry), "BAT page {}", page_number);
  }
  return {};
}

Result<std::uint64_t> Bat::next_used_index(std::uint64_t index) {
  const std::uint64_t next_page = index / kEntriesPerPage + 1;
  const std::uint64_t from = at_ + next_page * PagedTable::kPageBytes;
  const std::uint64_t data = VDISK_TRY(file_.next_data(FileOffset{from})).bytes;
  if (data <= from) {
    // Also how storage answers that ends before the table does.
    return next_page * kEntriesPerPage;
  }
  const std::uint64_t until = std::min((data - at_) / PagedTable::kPageBytes, table_.page_count());
  // What was changed in memory need not have reached the file yet.
  const std::uint64_t used = table_.next_loaded_page(next_page, until);
  return std::min(used * kEntriesPerPage, geometry().entry_count);
}

}  // namespace vdisk::vhdx
