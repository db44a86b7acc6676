// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/layers.h"

#include <algorithm>

#include "chain/chain.h"
#include "chain/parent_search.h"
#include "format/registry.h"
#include "io/named_file.h"
#include "io/nbd_file.h"

namespace vdisk::ops {

namespace {

/// A child that records only zero identifiers has a raw parent (Xen), which has none to compare.
bool parent_is_raw(const ParentLocator& locator) {
  return std::ranges::all_of(locator.linkage, &Guid::is_zero);
}

bool is_parent(const ParentPath& candidate, FormatId child_format, const OpenOptions& options,
               const ParentLocator& locator) {
  const PosixOpen how{.lock = false, .trace = {}};
  const auto file =
      candidate.named ? open_named_file(candidate.path, how) : open_posix_file(candidate.path, how);
  if (!file) return false;
  if (parent_is_raw(locator)) return options.parents.allow_raw && !candidate.needs_identity;
  const auto format = detect_format(**file, name_with_extension(candidate.path), child_format);
  if (!format) return false;
  ImageInfo info;
  // Damage behind the identifier is no reason to say that the parent is not there.
  [[maybe_unused]] const Status inspected =
      (*format)->inspect(**file, {.limits = options.limits, .trace = {}}, info);
  if (!info.identifier || info.identifier->is_zero()) return false;
  return std::ranges::find(locator.linkage, *info.identifier) != locator.linkage.end();
}

/// `named`: by the caller, not by an image.
Result<LayerFile> open_layer(const std::string& path, std::optional<FormatId> wanted, bool named,
                             const OpenOptions& options) {
  LayerFile layer{.path = path, .file = nullptr, .identity = {}, .wanted = wanted};
  const PosixOpen how{.lock = options.lock == LockMode::kAutomatic,
                      // An image is untrusted: what it names is never a device.
                      .allow_block_device = named && wanted == FormatId::kRaw,
                      .trace = options.trace};
  layer.file = VDISK_TRY(named ? open_named_file(path, how) : open_posix_file(path, how));
  layer.identity = VDISK_TRY(layer.file->identity());
  return layer;
}

}  // namespace

Result<const Format*> LayerFile::format() const {
  return detect_format(*file, name_with_extension(path), wanted);
}

Result<LayerFile> open_named_layer(const std::string& path, const OpenOptions& options) {
  return open_layer(path, options.format, true, options);
}

Result<LayerFile> open_parent_layer(const ImageInfo::Parent& parent, FormatId child_format,
                                    const OpenOptions& options) {
  const FormatId wanted = parent_is_raw(parent.locator) ? FormatId::kRaw : child_format;
  const auto& folders = options.parents.directories;
  return open_layer(parent.path, wanted,
                    is_nbd_uri(parent.path) && std::ranges::find(folders, parent.path) != folders.end(),
                    options);
}

void resolve_parent(const std::string& child_path, FormatId child_format, const OpenOptions& options,
                    ImageInfo::Parent& parent) {
  parent.candidates.clear();
  parent.resolved = false;
  for (const ParentPath& candidate : find_parent_paths(child_path, parent.locator, options.parents).to_try) {
    parent.candidates.push_back(candidate.path);
    if (parent.resolved || !is_parent(candidate, child_format, options, parent.locator)) continue;
    parent.resolved = true;
    parent.path = candidate.path;
  }
  if (!parent.resolved) {
    parent.path = parent.locator.candidates.empty() ? "" : parent.locator.candidates.front().recorded;
  }
}

std::optional<Error> chain_error(const std::string& path, const OpenOptions& options) {
  auto chain = Chain::open(path, options);
  if (chain) return std::nullopt;
  return std::move(chain).error();
}

}  // namespace vdisk::ops
