// SPDX-License-Identifier: Apache-2.0
#include "cli/output_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace vdisk::cli {

namespace {

/// Length of the UTF-8 character at the beginning of `text` if it is well-formed and a terminal prints it;
/// else 0.
std::size_t printable_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  std::uint32_t point = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
    point = point << 6 | (byte(i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0xA0, 0x800, 0x10000};  // C1 controls are below 0xA0
  const bool surrogate = point >= 0xD800 && point < 0xE000;
  // Marks that turn the direction of text can make one name look like another.
  const bool turns = (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
  return point < kLeast[length] || point > 0x10FFFF || surrogate || turns ? 0 : length;
}

/// Lines of "  Label   value", aligned by the longest label.
class Facts {
 public:
  void add(std::string_view label, std::string_view value) {
    width_ = std::max(width_, label.size() + kGap);
    lines_.emplace_back(label, printable(value));
  }
  std::string text() const {
    std::string text;
    for (const auto& [label, value] : lines_) text += fmt::format("  {:<{}}{}\n", label, width_, value);
    return text;
  }

 private:
  static constexpr std::size_t kGap = 2;
  std::size_t width_ = 16;
  std::vector<std::pair<std::string, std::string>> lines_;
};

std::string_view kind_word(ParentCandidate::Kind kind) noexcept {
  switch (kind) {
    case ParentCandidate::Kind::kRelative:
      return "relative path";
    case ParentCandidate::Kind::kAbsolute:
      return "absolute path";
    case ParentCandidate::Kind::kVolume:
      return "volume path";
    case ParentCandidate::Kind::kUrl:
      return "URL";
    case ParentCandidate::Kind::kName:
      return "name";
  }
  return "";
}

void add_parent(const ImageInfo::Parent& parent, Facts& facts) {
  const std::string path = parent.path.empty() ? "nowhere recorded" : parent.path;
  facts.add("Parent", parent.resolved ? path : path + "  (not found)");
  if (parent.identifier) facts.add("  identifier", parent.identifier->to_string());
  std::string_view label = "  recorded as";
  for (const ParentCandidate& candidate : parent.locator.candidates) {
    facts.add(label,
              fmt::format("{}  ({}, {})", candidate.recorded, kind_word(candidate.kind), candidate.source));
    label = "";
  }
  if (parent.resolved) return;
  label = "  looked for";
  for (const std::string& candidate : parent.candidates) {
    facts.add(label, candidate);
    label = "";
  }
}

/// "Log length" of "log_length_bytes": words for people, with what is an abbreviation in capitals.
std::string label_of(std::string_view name) {
  constexpr std::array<std::string_view, 8> kAbbreviations = {"bat", "chs", "guid", "id",
                                                              "iso", "os",  "udf",  "iso9660"};
  std::string label;
  while (!name.empty()) {
    const std::string_view word = name.substr(0, name.find('_'));
    name.remove_prefix(std::min(name.size(), word.size() + 1));
    if (word == "bytes" && name.empty()) break;  // The value says so.
    std::string shown(word);
    const auto to_upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
    if (std::ranges::find(kAbbreviations, word) != kAbbreviations.end()) {
      std::ranges::transform(shown, shown.begin(), to_upper);
    } else if (label.empty() && !shown.empty()) {
      shown[0] = to_upper(shown[0]);
    }
    label += (label.empty() ? "" : " ") + shown;
  }
  return label;
}

/// The value of a detail; of a number of bytes, also in a unit that one can grasp.
std::string detail_text(std::string_view name, const std::string& value) {
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
  const bool number = error == std::errc() && end == value.data() + value.size();
  if (number && (name.ends_with("_bytes") || name.ends_with("_offset"))) return exact_size(bytes);
  if (const auto guid = Guid::parse(value); guid && guid->is_zero()) return "none";
  return value;
}

void add_sizes(const ImageInfo& info, Facts& facts) {
  if (info.virtual_size_bytes) facts.add("Virtual size", exact_size(*info.virtual_size_bytes));
  if (info.file_size_bytes) facts.add("File size", exact_size(*info.file_size_bytes));
  if (info.allocated_bytes) facts.add("Allocated", exact_size(*info.allocated_bytes));
  if (info.block_size_bytes.value_or(0) != 0) facts.add("Block size", exact_size(*info.block_size_bytes));
  if (info.logical_sector_bytes && info.physical_sector_bytes) {
    facts.add("Sector size", fmt::format("{} bytes logical, {} bytes physical", *info.logical_sector_bytes,
                                         *info.physical_sector_bytes));
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = printable_length(text);
    if (length == 0) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      length = 1;
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} {}", bytes, bytes == 1 ? "byte" : "bytes");
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  // 1023.999 would round to "1024.00 KiB".
  if (value >= 1023.995 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string exact_size(std::uint64_t bytes) {
  if (bytes < 1024) return human_size(bytes);
  return fmt::format("{} bytes ({})", bytes, human_size(bytes));
}

std::string code_text(Win32Code code) {
  return code >= 0x80000000U ? fmt::format("0x{:08X}", code) : fmt::format("{}", code);
}

std::string describe(const Error& error) {
  return fmt::format("{} [{}, {} {}]", error.message(), error.id(), code_text(error.code()),
                     win32_code_name(error.code()));
}

std::string_view severity_word(Finding::Severity severity) noexcept {
  switch (severity) {
    case Finding::Severity::kNote:
      return "note";
    case Finding::Severity::kWarning:
      return "warning";
    case Finding::Severity::kDamage:
      return "damage";
  }
  return "";
}

std::string info_text(const Inspection& inspection) {
  const ImageInfo& info = inspection.info;
  Facts facts;
  if (info.format) {
    facts.add("Format", info.type ? fmt::format("{}, {}", to_string(*info.format), to_string(*info.type))
                                  : std::string(to_string(*info.format)));
  }
  add_sizes(info, facts);
  if (info.identifier) facts.add("Identifier", info.identifier->to_string());
  if (info.virtual_disk_id && info.virtual_disk_id != info.identifier) {
    facts.add("Virtual disk id", info.virtual_disk_id->to_string());
  }
  if (!info.creator.empty()) facts.add("Creator", info.creator);
  if (info.dirty_log)
    facts.add("Log", "dirty: holds changes that are not in their place yet; read with them applied");
  for (const std::string& file : info.change_tracking_files) facts.add("Change tracking", file);
  if (info.parent) add_parent(*info.parent, facts);
  for (const auto& [name, value] : info.details) facts.add(label_of(name), detail_text(name, value));
  for (const std::string& note : info.notes) facts.add("Note", note);
  return printable(info.path) + "\n" + facts.text();
}

std::string check_text(const CheckReport& report, const std::string& path) {
  std::string text = printable(path) + "\n";
  Facts facts;
  std::array<std::uint64_t, 3> count{};
  for (const Finding& finding : report.findings) ++count.at(static_cast<std::size_t>(finding.severity));
  if (report.findings_total == 0) {
    facts.add("Result", "no problems found");
  } else {
    facts.add("Result",
              fmt::format("{}: {} damage, {} {}, {} {}", report.damaged() ? "damaged" : "not damaged",
                          count[2], count[1], count[1] == 1 ? "warning" : "warnings", count[0],
                          count[0] == 1 ? "note" : "notes"));
  }
  if (report.blocks_total != 0) {
    facts.add("Blocks", fmt::format("{} of {} allocated", report.blocks_allocated, report.blocks_total));
  }
  if (report.leaked_bytes != 0) facts.add("Leaked", exact_size(report.leaked_bytes));
  text += facts.text();
  const std::string* file = &path;
  for (const Finding& finding : report.findings) {
    if (finding.path != *file) {
      text += printable(finding.path) + "\n";
      file = &finding.path;
    }
    // Windows opens an image that is merely unusual, so there is no code to tell.
    const std::string code =
        finding.severity != Finding::Severity::kDamage
            ? ""
            : fmt::format(", {} {}", code_text(finding.code), win32_code_name(finding.code));
    text += fmt::format("  {:<9}{} [{}{}]\n", severity_word(finding.severity), printable(finding.message),
                        finding.fault, code);
  }
  if (report.findings_total > report.findings.size()) {
    text += fmt::format("  and {} more\n", report.findings_total - report.findings.size());
  }
  return text;
}

}  // namespace vdisk::cli
