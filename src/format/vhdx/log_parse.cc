// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/log_parse.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/checked.h"
#include "base/crc32c.h"
#include "format/vhdx/log_faults.h"

namespace vdisk::vhdx {

namespace {

constexpr std::size_t kEntryHeaderBytes = sizeof(LogEntryHeaderLayout);
constexpr std::uint64_t kPieceBytes = kMiB;

std::uint64_t descriptor_sectors(std::uint64_t descriptors) noexcept {
  return divide_up(kEntryHeaderBytes + descriptors * kLogDescriptorBytes, kLogSectorBytes);
}

/// Descriptors that lie in the entry's sector `number`, and where in it they begin.
struct DescriptorSpan {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::size_t at = 0;
};
DescriptorSpan descriptors_in(const LogEntry& entry, std::uint64_t number) noexcept {
  DescriptorSpan span;
  std::uint64_t room = kDescriptorsInFirstSector;
  if (number == 0) {
    span.at = kEntryHeaderBytes;
  } else {
    span.first = kDescriptorsInFirstSector + (number - 1) * kDescriptorsPerSector;
    room = kDescriptorsPerSector;
  }
  if (span.first < entry.descriptor_count) span.count = std::min(room, entry.descriptor_count - span.first);
  return span;
}

LogChange decode_change(std::span<const std::byte> descriptor) {
  const auto zero = load<LogZeroDescriptorLayout>(descriptor);
  if (zero.signature == kZeroDescriptorSignature) {
    return {.is_zero = true, .file_offset = zero.file_offset, .length = zero.zero_length, .page = nullptr};
  }
  const auto data = load<LogDataDescriptorLayout>(descriptor);
  return {.is_zero = false, .file_offset = data.file_offset, .length = kLogSectorBytes, .page = nullptr};
}

/// Page = LeadingBytes, 4084 bytes of the data sector, TrailingBytes.
void assemble(std::span<const std::byte> descriptor, std::span<const std::byte> sector, LogPage& page) {
  const auto layout = load<LogDataDescriptorLayout>(descriptor);
  std::ranges::copy(sector.first(kLogSectorBytes), page.begin());
  std::ranges::copy(layout.leading_bytes, page.begin());
  std::ranges::copy(layout.trailing_bytes, page.end() - layout.trailing_bytes.size());
}

/// "" when the header alone is plausible.
std::string header_problem(const LogEntryHeaderLayout& header, std::uint64_t log_length) {
  const std::uint64_t length = header.entry_length;
  if (length < kLogSectorBytes || length > log_length || !is_multiple(length, kLogSectorBytes)) {
    return fmt::format("its length is {:#x}", length);
  }
  if (header.tail >= log_length || !is_multiple(header.tail, kLogSectorBytes)) {
    return fmt::format("its tail is {:#x}", header.tail.get());
  }
  if (header.sequence_number == 0) return "its sequence number is 0";
  if (descriptor_sectors(header.descriptor_count) > length / kLogSectorBytes) {
    return fmt::format("{} descriptors do not fit into {:#x} bytes", header.descriptor_count.get(), length);
  }
  return {};
}

void note_torn(LogScan& scan, std::uint64_t at, const std::string& problem) {
  if (scan.torn_entries++ == 0) scan.first_torn = fmt::format("at {:#x} of the log: {}", at, problem);
}

/// Entries joined to paths: an entry's successor begins where it ends and has the next sequence number.
class Paths {
 public:
  Paths(const std::vector<LogEntry>& entries, std::uint64_t log_length)
      : entries_(entries), next_(entries.size()) {
    std::vector<bool> has_previous(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
      next_[i] = successor(entries[i], log_length);
      if (next_[i]) has_previous[*next_[i]] = true;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!has_previous[i]) starts_.push_back(i);
    }
  }

  /// The complete sequence with the greatest head: MS-VHDX 2.3.3, without trying each start by itself. A path
  /// has one head, which every start on it shares; the sequence from a start is complete when the tail that
  /// the head names lies between start and head, so the path has a complete sequence exactly when the tail
  /// lies on it. Of equal heads the one that the scan from offset 0 upward meets first is taken.
  std::vector<LogEntry> best() const {
    std::vector<std::size_t> chosen;
    std::uint64_t chosen_met_at = 0;
    for (const std::size_t start : starts_) {
      std::vector<std::size_t> path;
      for (std::optional<std::size_t> i = start; i; i = next_[*i]) path.push_back(*i);
      const LogEntry& head = entries_[path.back()];
      const auto tail = std::ranges::find(path, head.tail, [&](std::size_t i) { return entries_[i].at; });
      if (tail == path.end()) continue;
      std::uint64_t met_at = head.tail;
      for (auto i = path.begin(); i != tail; ++i) met_at = std::min(met_at, entries_[*i].at);
      if (!chosen.empty()) {
        const std::uint64_t rival = entries_[chosen.back()].sequence;
        if (head.sequence < rival || (head.sequence == rival && met_at > chosen_met_at)) continue;
      }
      chosen.assign(tail, path.end());
      chosen_met_at = met_at;
    }
    std::vector<LogEntry> sequence;
    for (const std::size_t i : chosen) sequence.push_back(entries_[i]);
    return sequence;
  }

 private:
  std::optional<std::size_t> successor(const LogEntry& entry, std::uint64_t log_length) const {
    if (entry.sequence == std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
    const std::uint64_t at = (entry.at + entry.length) % log_length;
    const auto found = std::ranges::lower_bound(entries_, at, {}, &LogEntry::at);
    if (found == entries_.end() || found->at != at || found->sequence != entry.sequence + 1)
      return std::nullopt;
    return static_cast<std::size_t>(found - entries_.begin());
  }

  const std::vector<LogEntry>& entries_;
  std::vector<std::optional<std::size_t>> next_;
  std::vector<std::size_t> starts_;
};

}  // namespace

LogReader::SectorKind LogReader::kind_of(Sector sector) noexcept {
  const auto signature = load<Signature<4>>(sector);
  if (signature == kLogEntrySignature) return SectorKind::kEntry;
  if (signature == kDataSectorSignature) return SectorKind::kData;
  if (signature == kZeroDescriptorSignature || signature == kDataDescriptorSignature)
    return SectorKind::kDescriptors;
  return SectorKind::kOther;
}

Status LogReader::read(std::uint64_t at, std::span<std::byte> into) {
  while (!into.empty()) {
    at = wrap(at);
    const std::size_t piece = std::min<std::uint64_t>(into.size(), length_ - at);
    if (!cache_.empty()) {
      std::ranges::copy(std::span(cache_).subspan(at, piece), into.begin());
    } else {
      // A file that ends inside its log shows zeros there, and they are no entries.
      VDISK_TRY(read_zero_padded(file_, FileOffset{offset_ + at}, into.first(piece)));
    }
    into = into.subspan(piece);
    at += piece;
  }
  return {};
}

Status LogReader::classify(std::vector<LogEntry>& candidates, LogScan& scan) {
  kinds_.resize(sector_count());
  std::vector<std::byte> piece(std::min(length_, kPieceBytes));
  for (std::uint64_t at = 0; at < length_; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), length_ - at));
    VDISK_TRY(read(at, piece));
    for (std::size_t in_piece = 0; in_piece < piece.size(); in_piece += kLogSectorBytes) {
      const Sector sector = std::span<const std::byte>(piece).subspan(in_piece).first<kLogSectorBytes>();
      const SectorKind kind = kind_of(sector);
      kinds_[(at + in_piece) / kLogSectorBytes] = kind;
      if (kind != SectorKind::kEntry) continue;
      const auto header = load<LogEntryHeaderLayout>(sector);
      if (header.log_guid != guid_) continue;
      if (const std::string problem = header_problem(header, length_); !problem.empty()) {
        note_torn(scan, at + in_piece, problem);
        continue;
      }
      candidates.push_back({.at = at + in_piece,
                            .length = header.entry_length,
                            .tail = header.tail,
                            .sequence = header.sequence_number,
                            .descriptor_count = header.descriptor_count,
                            .flushed_file_offset = header.flushed_file_offset,
                            .last_file_offset = header.last_file_offset});
    }
  }
  return {};
}

std::string LogReader::shape_problem(const LogEntry& entry) const {
  const std::uint64_t descriptors = descriptor_sectors(entry.descriptor_count);
  for (std::uint64_t i = 1; i < entry.length / kLogSectorBytes; ++i) {
    const SectorKind expected = i < descriptors ? SectorKind::kDescriptors : SectorKind::kData;
    if (kinds_[wrap(entry.at + i * kLogSectorBytes) / kLogSectorBytes] != expected) {
      return fmt::format("sector {} is no {} sector", i, i < descriptors ? "descriptor" : "data");
    }
  }
  return {};
}

std::string LogReader::sector_problem(const LogEntry& entry, std::uint64_t number, Sector sector,
                                      std::uint64_t& data_descriptors) {
  if (number >= descriptor_sectors(entry.descriptor_count)) {
    const auto data = load<LogDataSectorLayout>(sector);
    const std::uint64_t sequence = std::uint64_t{data.sequence_high} << 32 | data.sequence_low;
    return sequence == entry.sequence
               ? ""
               : fmt::format("data sector {} has sequence number {}", number, sequence);
  }
  const DescriptorSpan span = descriptors_in(entry, number);
  for (std::uint64_t i = 0; i < span.count; ++i) {
    const auto layout = load<LogZeroDescriptorLayout>(sector.subspan(span.at + i * kLogDescriptorBytes));
    const bool is_data = layout.signature == kDataDescriptorSignature;
    if (!is_data && layout.signature != kZeroDescriptorSignature) {
      return fmt::format("descriptor {} has no signature", span.first + i);
    }
    if (layout.sequence_number != entry.sequence) {
      return fmt::format("descriptor {} has sequence number {}", span.first + i,
                         layout.sequence_number.get());
    }
    if (is_data) ++data_descriptors;
  }
  return {};
}

Result<std::string> LogReader::content_problem(const LogEntry& entry, LogScan& scan) {
  std::uint32_t stored = 0;
  std::uint32_t computed = 0;
  std::uint64_t data_descriptors = 0;
  std::string problem;
  std::vector<std::byte> piece(std::min(entry.length, kPieceBytes));
  for (std::uint64_t done = 0; done < entry.length; done += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), entry.length - done));
    VDISK_TRY(read(entry.at + done, piece));
    for (std::size_t at = 0; at < piece.size() && problem.empty(); at += kLogSectorBytes) {
      problem = sector_problem(entry, (done + at) / kLogSectorBytes,
                               std::span<const std::byte>(piece).subspan(at).first<kLogSectorBytes>(),
                               data_descriptors);
    }
    if (!problem.empty()) return problem;
    if (done == 0) {
      const auto field = std::span(piece).subspan(kLogEntryChecksumAt);
      stored = load<Le<std::uint32_t>>(field);
      store(field, Le<std::uint32_t>(0));
    }
    computed = crc32c(piece, computed);
    scan.summed_bytes += piece.size();
  }
  if (computed != stored)
    return fmt::format("its checksum is {:#010x}, its bytes give {:#010x}", stored, computed);
  // No known writer makes an entry longer than its parts (formats.md 2.7).
  const std::uint64_t sectors = descriptor_sectors(entry.descriptor_count) + data_descriptors;
  if (sectors != entry.length / kLogSectorBytes) {
    return fmt::format("its descriptors make {} sectors of its {:#x} bytes", sectors, entry.length);
  }
  return std::string();
}

Status LogReader::scan(const Limits& limits, LogScan& scan) {
  if (length_ > limits.log_bytes) {
    return fail(faults::kLogTooLarge,
                "{}: the log to replay has {:#x} bytes, the limit is {:#x}: raise the limit", file_.name(),
                length_, limits.log_bytes);
  }
  if (length_ <= kCachedBytes) {
    std::vector<std::byte> cache(length_);
    VDISK_TRY(read(0, cache));
    cache_ = std::move(cache);
  }
  std::vector<LogEntry> candidates;
  VDISK_TRY(classify(candidates, scan));
  for (const LogEntry& candidate : candidates) {
    std::string problem = shape_problem(candidate);
    if (problem.empty()) problem = VDISK_TRY(content_problem(candidate, scan));
    if (problem.empty()) {
      scan.entries.push_back(candidate);
    } else {
      note_torn(scan, candidate.at, problem);
    }
  }
  if (scan.entries.empty()) {
    return fail(
        faults::kLogEmpty,
        "{}: the header names the log {} at {:#x}, but none of its {} sectors begins a valid entry of it{}: "
        "the changes that it promised are lost",
        file_.name(), guid_.to_string(), offset_, sector_count(),
        scan.first_torn.empty() ? "" : " (" + scan.first_torn + ")");
  }
  scan.active = Paths(scan.entries, length_).best();
  if (scan.active.empty()) {
    return fail(
        faults::kLogIncomplete,
        "{}: the log {} at {:#x} has {} valid entries, but in no sequence of them does the last one name the "
        "place of one of them as tail{}",
        file_.name(), guid_.to_string(), offset_, scan.entries.size(),
        scan.first_torn.empty() ? "" : " (" + scan.first_torn + ")");
  }
  return {};
}

Status LogReader::changes(const LogEntry& entry, const std::function<Status(const LogChange&)>& show) {
  std::array<std::byte, kLogSectorBytes> descriptors;
  std::array<std::byte, kLogSectorBytes> sector;
  LogPage page;
  std::uint64_t data_sector = descriptor_sectors(entry.descriptor_count);
  for (std::uint64_t number = 0; number < descriptor_sectors(entry.descriptor_count); ++number) {
    VDISK_TRY(read(entry.at + number * kLogSectorBytes, descriptors));
    const DescriptorSpan span = descriptors_in(entry, number);
    for (std::uint64_t i = 0; i < span.count; ++i) {
      const auto descriptor =
          std::span<const std::byte>(descriptors).subspan(span.at + i * kLogDescriptorBytes);
      LogChange change = decode_change(descriptor);
      if (!change.is_zero) {
        VDISK_TRY(read(entry.at + data_sector++ * kLogSectorBytes, sector));
        assemble(descriptor, sector, page);
        change.page = &page;
      }
      VDISK_TRY(show(change));
    }
  }
  return {};
}

}  // namespace vdisk::vhdx
