// SPDX-License-Identifier: Apache-2.0
//
// Opening a disk, and describing the files that it is made of.
#include <sys/stat.h>
#include <vdisk/disk.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "chain/parent_search.h"
#include "disk/faults.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/impl.h"
#include "io/host_disk.h"
#include "io/host_volume.h"

namespace vdisk {

namespace {

bool exists(const std::string& path) noexcept {
  struct stat stat{};
  return ::lstat(path.c_str(), &stat) == 0;
}

void describe_parent(const Disk::Impl& disk, std::size_t layer, ImageInfo& info) {
  if (!info.parent) return;
  const std::string& path = disk.chain.layer(layer).path;
  for (const ParentPath& candidate : find_parent_paths(path, info.parent->locator, disk.parents).to_try) {
    info.parent->candidates.push_back(candidate.path);
  }
  info.parent->resolved = layer + 1 < disk.chain.size();
  if (info.parent->resolved) {
    info.parent->path = disk.chain.layer(layer + 1).path;
  } else if (!info.parent->locator.candidates.empty()) {
    info.parent->path = info.parent->locator.candidates.front().recorded;
  }
}

Result<ImageInfo> describe_layer(const Disk::Impl& disk, std::size_t layer) {
  if (layer >= disk.chain.size()) {
    return fail(disk::faults::kNoLayer, "{}: layer {} was asked for; the chain has {}",
                disk.chain.layer(0).path, layer, disk.chain.size());
  }
  const Layer& described = disk.chain.layer(layer);
  ImageInfo info;
  info.path = described.path;
  describe(*described.image, info);
  info.file_size_bytes = VDISK_TRY(described.image->file().size());
  info.allocated_bytes = VDISK_TRY(described.image->allocated_bytes());
  info.change_tracking_files = change_tracking_files(described.path);
  std::ranges::move(host_notes(described.path), std::back_inserter(info.notes));
  describe_parent(disk, layer, info);
  return info;
}

}  // namespace

Result<std::string> host_path(const std::string& path, const ParentSearch& search) {
  if (!looks_like_windows_path(path) || exists(path)) return path;
  const WindowsPath translated = translate_windows_path(path, search);
  if (!translated.path) {
    return fail(disk::faults::kUnmappedPath,
                "{}: is a Windows path, and what {} means here is not known; say it with --map-drive {}=DIR",
                path, translated.missing_map, translated.missing_map);
  }
  return match_ignoring_case(*translated.path);
}

std::optional<FormatId> format_for(const std::string& path, std::optional<FormatId> wanted) {
  if (!wanted && is_block_device(path)) return FormatId::kRaw;
  return wanted;
}

std::vector<std::string> change_tracking_files(const std::string& path) {
  std::vector<std::string> found;
  for (const char* extension : {".rct", ".mrt"}) {
    if (exists(path + extension)) found.push_back(path + extension);
  }
  return found;
}

std::vector<std::string> host_notes(const std::string& path) {
  const HostVolumeFacts facts = probe_host_volume(path);
  if (facts.why.empty()) return {};
  return {fmt::format("{}; that is no obstacle here, but Windows refuses images in such a place", facts.why)};
}

inline namespace v1 {

Result<Disk> Disk::open(const std::string& path, const OpenOptions& options) {
  return guarded([&]() -> Result<Disk> {
    const std::string here = VDISK_TRY(host_path(path, options.parents));
    Chain chain = VDISK_TRY(Chain::open(here, options));
    return Disk(std::make_unique<Impl>(std::move(chain), options));
  });
}

Result<ImageInfo> Disk::info(std::size_t layer) const {
  return guarded([&] { return describe_layer(*impl_, layer); });
}

}  // namespace v1

}  // namespace vdisk
