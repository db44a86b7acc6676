// SPDX-License-Identifier: Apache-2.0
//
// Checks each file of a chain by its format, and what only both ends of a link can show. It walks the files
// itself: opening the chain would stop at the first thing that is wrong.
#include <sys/stat.h>
#include <vdisk/operations.h>

#include <algorithm>

#include "base/text.h"
#include "chain/parent_search.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/ops/content.h"
#include "disk/ops/faults.h"
#include "disk/ops/layers.h"
#include "format/registry.h"
#include "io/posix_file.h"

namespace vdisk {

namespace {

// VHD time stamps count from 2000-01-01 00:00:00 UTC (formats.md 1.2).
constexpr std::int64_t kVhdEpochUnixSeconds = 946'684'800;

/// Adds what one file's check found; the bound on the number of findings holds for the whole.
void merge(CheckReport& whole, CheckReport part) {
  for (Finding& finding : part.findings) {
    const Fault row{finding.fault, finding.code, {}};
    CheckSink(whole, std::move(finding.path)).add_text(finding.severity, row, std::move(finding.message));
  }
  whole.findings_total += part.findings_total - part.findings.size();
  whole.blocks_total += part.blocks_total;
  whole.blocks_allocated += part.blocks_allocated;
  whole.leaked_bytes += part.leaked_bytes;
}

std::string linkage_text(const ParentLocator& locator) {
  std::string text;
  for (const Guid& guid : locator.linkage) {
    if (!guid.is_zero()) text += (text.empty() ? "" : " or ") + guid.to_string();
  }
  return text.empty() ? "none" : text;
}

class ChainCheck {
 public:
  ChainCheck(const OpenOptions& options, const OperationControl& control, CheckReport& report)
      : options_(options), control_(control), report_(report) {}

  Status run(const std::string& path, bool chain) {
    ops::LayerFile layer = VDISK_TRY(ops::open_named_layer(path, options_));
    const Format* format = VDISK_TRY(layer.format());
    leaf_ = path;
    for (;;) {
      seen_.push_back(layer.identity);
      ImageInfo info = VDISK_TRY(check_layer(layer, *format));
      if (!chain || options_.no_parents || !info.parent) break;
      VDISK_TRY(ops::check_cancelled(control_, "the check"));
      layer.file.reset();  // find_parent may look at the file again
      if (!VDISK_TRY(step(info, layer, format))) return {};
    }
    // Whatever else keeps the chain from opening is damage too, although no single file shows it.
    if (chain && !report_.damaged()) {
      if (const auto error = ops::chain_error(leaf_, options_)) CheckSink(report_, leaf_).add(*error);
    }
    return {};
  }

 private:
  Result<ImageInfo> check_layer(ops::LayerFile& layer, const Format& format) {
    const ImageOpen how{.limits = options_.limits, .trace = options_.trace};
    CheckReport part;
    CheckSink sink(part, layer.path);
    VDISK_TRY(format.check(*layer.file, how, sink, control_));
    merge(report_, std::move(part));
    ImageInfo info;
    // Its obstacles are among the findings already.
    [[maybe_unused]] const Status inspected = format.inspect(*layer.file, how, info);
    info.path = layer.path;
    info.format = format.id;
    return info;
  }

  /// Goes on to the parent of `child`: replaces `layer` and `format`; false where the chain cannot be
  /// followed.
  Result<bool> step(ImageInfo& child, ops::LayerFile& layer, const Format*& format) {
    CheckSink sink(report_, child.path);
    if (seen_.size() >= options_.limits.chain_depth)
      return cannot_follow(sink, child, "the chain is too deep");
    ops::resolve_parent(child.path, *child.format, options_, *child.parent);
    if (!child.parent->resolved) return cannot_follow(sink, child, "its parent was not found");
    auto parent = ops::open_parent_layer(*child.parent, *child.format, options_);
    if (!parent) return cannot_follow(sink, child, parent.error().reason());
    if (std::ranges::find(seen_, parent->identity) != seen_.end()) {
      return cannot_follow(sink, child, child.parent->path + " is already part of the chain");
    }
    const auto parent_format = parent->format();
    if (!parent_format) return cannot_follow(sink, child, parent_format.error().reason());
    check_link(child, *parent, **parent_format, sink);
    layer = *std::move(parent);
    format = *parent_format;
    return true;
  }

  /// Opening says best why; where it stops earlier, at damage that is told already, `reason` has to do.
  Result<bool> cannot_follow(CheckSink& sink, const ImageInfo& child, std::string_view reason) {
    auto error = report_.damaged() ? std::nullopt : ops::chain_error(leaf_, options_);
    if (error) {
      sink.add(*error);
    } else {
      sink.add(Finding::Severity::kDamage, ops::faults::kNotFollowed,
               "{}: the rest of the chain was not checked: {}; it records identifier {}", child.path, reason,
               linkage_text(child.parent->locator));
    }
    return false;
  }

  void check_link(const ImageInfo& child, const ops::LayerFile& parent, const Format& parent_format,
                  CheckSink& sink) {
    ImageInfo info;
    [[maybe_unused]] const Status inspected =
        parent_format.inspect(*parent.file, {.limits = options_.limits, .trace = {}}, info);
    check_sizes(child, info, parent, sink);
    check_time(child, parent, sink);
    for (const ParentCandidate& recorded : child.parent->locator.candidates) {
      check_path(child, recorded, parent, sink);
    }
  }

  static void check_sizes(const ImageInfo& child, const ImageInfo& info, const ops::LayerFile& parent,
                          CheckSink& sink) {
    if (!child.virtual_size_bytes || !info.virtual_size_bytes) return;
    if (*child.virtual_size_bytes == *info.virtual_size_bytes) return;
    // A resized VHDX child is legal (formats.md 6, case 81); Windows makes no VHD child of another size
    // (1.11).
    const bool usual =
        child.format == FormatId::kVhdx && *child.virtual_size_bytes > *info.virtual_size_bytes;
    sink.add(
        usual ? Finding::Severity::kNote : Finding::Severity::kWarning, ops::faults::kLinkSize,
        "{}: the disk has {} bytes, its parent {} has {}; what reaches past the parent's end reads as zeros",
        child.path, *child.virtual_size_bytes, parent.path, *info.virtual_size_bytes);
  }

  /// Copying the parent changes its time, so a difference is worth a remark only (formats.md 1.11).
  static void check_time(const ImageInfo& child, const ops::LayerFile& parent, CheckSink& sink) {
    struct stat stat{};
    if (!child.parent->locator.timestamp || ::fstat(parent.file->fd(), &stat) != 0) return;
    const std::int64_t seconds = std::int64_t{stat.st_mtime} - kVhdEpochUnixSeconds;
    if (seconds == std::int64_t{*child.parent->locator.timestamp}) return;
    sink.add(Finding::Severity::kNote, ops::faults::kLinkTime,
             "{}: records that its parent was last changed at {}, but {} was changed at {}; if it was only "
             "copied, all is well",
             child.path, utc_text(kVhdEpochUnixSeconds + *child.parent->locator.timestamp), parent.path,
             utc_text(stat.st_mtime));
  }

  /// Says where a recorded path does not lead to the parent that was found. Paths whose meaning here is not
  /// known (a drive without a mapping) are no finding.
  void check_path(const ImageInfo& child, const ParentCandidate& recorded, const ops::LayerFile& parent,
                  CheckSink& sink) const {
    if (recorded.kind == ParentCandidate::Kind::kName) return;
    ParentLocator alone = child.parent->locator;
    alone.candidates = {recorded};
    ParentSearch search = options_.parents;
    search.directories.clear();
    search.confine = false;
    const ParentPath* first = nullptr;
    const ParentPaths paths = find_parent_paths(child.path, alone, search);
    for (const ParentPath& path : paths.to_try) {
      if (path.by_name) continue;
      if (leads_to(path.path, parent)) return;
      if (first == nullptr) first = &path;
    }
    if (first == nullptr) return;
    sink.add(Finding::Severity::kNote, ops::faults::kLinkStalePath,
             "{}: records its parent as '{}' ({}), which here is {} and does not lead to {}", child.path,
             recorded.recorded, recorded.source, first->path, parent.path);
  }

  static bool leads_to(const std::string& path, const ops::LayerFile& parent) {
    struct stat stat{};
    return ::stat(path.c_str(), &stat) == 0 &&
           parent.identity == FileIdentity{static_cast<std::uint64_t>(stat.st_dev), stat.st_ino};
  }

  const OpenOptions& options_;
  const OperationControl& control_;
  CheckReport& report_;
  std::string leaf_;
  std::vector<FileIdentity> seen_;
};

}  // namespace

inline namespace v1 {

Result<CheckReport> check(const std::string& path, const OpenOptions& options, bool chain,
                          const OperationControl& control) {
  return guarded([&]() -> Result<CheckReport> {
    const std::string here = VDISK_TRY(host_path(path, options.parents));
    OpenOptions read_only = options;
    read_only.writable = false;
    CheckReport report;
    VDISK_TRY(ChainCheck(read_only, control, report).run(here, chain));
    return report;
  });
}

}  // namespace v1

}  // namespace vdisk
