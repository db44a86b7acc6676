// SPDX-License-Identifier: Apache-2.0
#include "testing/disk_story.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/checked.h"
#include "base/endian.h"
#include "base/fault.h"

namespace vdisk::testing {

namespace {

using Verb = DiskStory::Verb;

/// Bytes of one unit that are not eight bytes over and over.
constexpr std::uint64_t kMixture = ~std::uint64_t{0};
constexpr std::uint64_t kSharedUnits = 8;  // Of a shared block, one stretch after the other is somebody's.

std::uint64_t stamp(std::uint32_t serial, std::uint64_t unit) noexcept {
  return std::uint64_t{serial} << 32 | (unit + 1);
}

std::uint64_t stamp_of(std::span<const std::byte> unit) {
  const auto first = load<Le<std::uint64_t>>(unit).get();
  for (std::size_t i = 8; i < unit.size(); i += 8) {
    if (load<Le<std::uint64_t>>(unit.subspan(i)).get() != first) return kMixture;
  }
  return first;
}

void must(const Status& status) {
  if (!status) fmt::print(stderr, "{}\n", status.error().message());
  VDISK_ASSERT(status.has_value());
}

Disk must_open(const std::string& path, bool writable) {
  OpenOptions options;
  options.writable = writable;
  auto disk = Disk::open(path, options);
  if (!disk) fmt::print(stderr, "{}\n", disk.error().message());
  VDISK_ASSERT(disk.has_value());
  return *std::move(disk);
}

std::vector<std::uint64_t> shown_by(const Disk& disk, std::uint64_t disk_bytes) {
  std::vector<std::uint64_t> stamps;
  stamps.reserve(disk_bytes / DiskStory::kUnit);
  std::vector<std::byte> bytes(std::min<std::uint64_t>(disk_bytes, kMiB));
  for (std::uint64_t at = 0; at < disk_bytes; at += bytes.size()) {
    bytes.resize(std::min<std::uint64_t>(bytes.size(), disk_bytes - at));
    must(disk.read(DiskOffset{at}, bytes));
    for (std::size_t i = 0; i < bytes.size(); i += DiskStory::kUnit) {
      stamps.push_back(stamp_of(std::span(bytes).subspan(i, DiskStory::kUnit)));
    }
  }
  return stamps;
}

}  // namespace

std::string DiskKind::name() const {
  return fmt::format("{}_{}{}", format == FormatId::kVhd ? "vhd" : "vhdx",
                     depth == 1 ? "dynamic" : fmt::format("chain_of_{}", depth),
                     sector_bytes == 512 ? "" : fmt::format("_{}", sector_bytes));
}

std::string DiskKind::file_name(int layer) const {
  return fmt::format("layer{}.{}", layer, format == FormatId::kVhd ? "vhd" : "vhdx");
}

std::string make_disk(const std::string& folder, const DiskKind& kind, std::uint64_t seed) {
  std::string path;
  for (int layer = 0; layer < kind.depth; ++layer) {
    CreateOptions options;
    options.parent = std::exchange(path, folder + "/" + kind.file_name(layer));
    if (layer == 0) {
      options.virtual_size_bytes = kind.disk_bytes;
      if (kind.format != FormatId::kVhd) options.logical_sector_bytes = kind.sector_bytes;
      if (kind.sector_bytes > 512) options.physical_sector_bytes = kind.sector_bytes;
    }
    options.block_bytes = kind.block_bytes;
    must(create(path, options));
    if (layer + 1 == kind.depth) break;
    Disk disk = must_open(path, true);
    DiskStory story(kind);
    Narrator narrator(disk, story, 0, 1, seed * 100 + static_cast<std::uint64_t>(layer));
    for (int i = 0; i < 40; ++i) must(narrator.step());
    must(disk.close());
  }
  return path;
}

DiskStory::DiskStory(const DiskKind& kind)
    : kind_(kind),
      shared_(static_cast<Shared*>(
          ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
      beginning_(kind.disk_bytes / kUnit, 0) {
  VDISK_ASSERT(static_cast<void*>(shared_) != MAP_FAILED);
  new (shared_) Shared;
}

DiskStory::~DiskStory() { ::munmap(shared_, sizeof(Shared)); }

void DiskStory::begin(const Disk& disk) {
  beginning_ = shown_by(disk, kind_.disk_bytes);
  for (Chapter& chapter : shared_->chapters) {
    chapter.begun = 0;
    chapter.ended = 0;
  }
}

std::uint64_t DiskStory::begun() const noexcept {
  std::uint64_t sum = 0;
  for (const Chapter& chapter : shared_->chapters) sum += chapter.begun.load(std::memory_order_acquire);
  return sum;
}

DiskStory::Deed& DiskStory::tell(unsigned narrator, Verb verb, std::uint64_t first, std::uint64_t count) {
  Chapter& chapter = shared_->chapters[narrator];
  const std::uint32_t index = chapter.begun.load(std::memory_order_relaxed);
  VDISK_ASSERT(index < kMostDeeds);
  Deed& deed = chapter.deeds[index];
  deed = {.verb = verb,
          .failed = false,
          .serial = shared_->serial.fetch_add(1, std::memory_order_relaxed) + 1,
          .first = first,
          .count = count,
          .covers = {}};
  for (unsigned i = 0; i < kMostNarrators; ++i) {
    deed.covers[i] = shared_->chapters[i].ended.load(std::memory_order_acquire);
  }
  chapter.begun.store(index + 1, std::memory_order_release);
  return deed;
}

void DiskStory::end(unsigned narrator, bool fine) {
  Chapter& chapter = shared_->chapters[narrator];
  const std::uint32_t index = chapter.ended.load(std::memory_order_relaxed);
  chapter.deeds[index].failed = !fine;
  chapter.ended.store(index + 1, std::memory_order_release);
}

std::string DiskStory::judge(const Disk& disk, Certain certain) const {
  std::uint32_t certain_deeds[kMostNarrators] = {};
  for (unsigned i = 0; i < kMostNarrators; ++i) {
    const Chapter& chapter = shared_->chapters[i];
    const std::uint32_t ended = chapter.ended;
    if (certain == Certain::kDone) certain_deeds[i] = ended;
    for (const Deed& deed : std::span(chapter.deeds).first(ended)) {
      if (deed.verb != Verb::kFlush || deed.failed) continue;
      for (unsigned k = 0; k < kMostNarrators; ++k) {
        certain_deeds[k] = std::max(certain_deeds[k], deed.covers[k]);
      }
    }
  }
  // A unit has one writer, so the order of its values is known.
  std::vector<std::vector<std::uint64_t>> lawful(beginning_.size());
  for (std::size_t unit = 0; unit < lawful.size(); ++unit) lawful[unit] = {beginning_[unit]};
  for (unsigned i = 0; i < kMostNarrators; ++i) {
    const Chapter& chapter = shared_->chapters[i];
    for (std::uint32_t k = 0; k < chapter.begun; ++k) {
      const Deed& deed = chapter.deeds[k];
      if (deed.verb == Verb::kFlush) continue;
      // A trim over a parent may leave what was there: a differencing VHD cannot hide it without space of its
      // own.
      const bool replaces = k < certain_deeds[i] && !(k < chapter.ended && deed.failed) &&
                            !(deed.verb == Verb::kTrim && kind_.format == FormatId::kVhd && kind_.depth > 1);
      for (std::uint64_t unit = deed.first; unit < deed.first + deed.count; ++unit) {
        if (replaces) lawful[unit].clear();
        lawful[unit].push_back(deed.verb == Verb::kWrite ? stamp(deed.serial, unit) : 0);
      }
    }
  }
  const std::vector<std::uint64_t> shown = shown_by(disk, kind_.disk_bytes);
  for (std::uint64_t unit = 0; unit < shown.size(); ++unit) {
    if (std::ranges::find(lawful[unit], shown[unit]) != lawful[unit].end()) continue;
    return fmt::format("sector {} (offset {:#x}) shows {:#x}; it may show {:#x}", unit, unit * kUnit,
                       shown[unit], fmt::join(lawful[unit], ", "));
  }
  return {};
}

/// A block of this narrator alone; the last of each round of blocks is everybody's.
std::uint64_t Narrator::own_block() {
  const std::uint64_t blocks = story_.kind().disk_bytes / story_.kind().block_bytes;
  const std::uint64_t rounds = divide_up(blocks, narrators_ + 1);
  for (;;) {
    const std::uint64_t block = below(rounds) * (narrators_ + 1) + number_;
    if (block < blocks) return block;
  }
}

Status Narrator::step() {
  const std::uint64_t units = block_units();
  const std::uint64_t sector_units = story_.kind().sector_bytes / DiskStory::kUnit;
  const std::uint64_t own = own_block() * units;
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return flush();
    case 4:
    case 5:
      return discard(Verb::kTrim, own, units);
    case 6:
      return discard(Verb::kZero, own, units);
    case 7:
      return discard(Verb::kZero, own + below(units / sector_units) * sector_units, sector_units);
    case 8:
      return write(own, units);
    case 9:
    case 10: {
      const std::uint64_t blocks = story_.kind().disk_bytes / story_.kind().block_bytes;
      const std::uint64_t shared = below(blocks / (narrators_ + 1)) * (narrators_ + 1) + narrators_;
      if (shared >= blocks) return {};
      const std::uint64_t stretch = below(units / kSharedUnits / narrators_) * narrators_ + number_;
      return write(shared * units + stretch * kSharedUnits, kSharedUnits);
    }
    default: {
      const std::uint64_t first = below(units / sector_units);
      const std::uint64_t count = 1 + below(std::min<std::uint64_t>(units / sector_units - first, 24));
      return write(own + first * sector_units, count * sector_units);
    }
  }
}

Status Narrator::write(std::uint64_t first, std::uint64_t count) {
  const DiskStory::Deed& deed = story_.tell(number_, Verb::kWrite, first, count);
  std::vector<std::byte> bytes(count * DiskStory::kUnit);
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    store(std::span(bytes).subspan(i), Le<std::uint64_t>(stamp(deed.serial, first + i / DiskStory::kUnit)));
  }
  Status written = disk_.write(DiskOffset{first * DiskStory::kUnit}, bytes);
  story_.end(number_, written.has_value());
  return written;
}

Status Narrator::discard(Verb verb, std::uint64_t first, std::uint64_t count) {
  story_.tell(number_, verb, first, count);
  const DiskRange range{{first * DiskStory::kUnit}, count * DiskStory::kUnit};
  Status done = verb == Verb::kTrim ? disk_.trim(range) : disk_.write_zeroes(range);
  story_.end(number_, done.has_value());
  return done;
}

Status Narrator::flush() {
  story_.tell(number_, Verb::kFlush, 0, 0);
  Status flushed = disk_.flush();
  story_.end(number_, flushed.has_value());
  return flushed;
}

std::string check_flaws(const std::string& path) {
  OpenOptions options;
  options.lock = LockMode::kNone;  // its writer may have it open
  const auto report = check(path, options, /*chain=*/true, {});
  if (!report) return report.error().message();
  for (const Finding& finding : report->findings) {
    if (finding.severity == Finding::Severity::kNote) continue;
    constexpr std::string_view kLawful[] = {"vhd.space.leaked", "vhd.footer.copy", "vhdx.check.leak",
                                            "vhdx.check.header_copy", "vhdx.log.pending"};
    if (std::ranges::find(kLawful, finding.fault) == std::end(kLawful))
      return finding.fault + ": " + finding.message;
  }
  return {};
}

}  // namespace vdisk::testing
