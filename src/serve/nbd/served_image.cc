// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/served_image.h"

#include <algorithm>
#include <charconv>

#include "base/win32_codes.h"
#include "disk/impl.h"
#include "filesystem/partition_table.h"
#include "serve/nbd/faults.h"

namespace vdisk::serve::nbd {

namespace {

constexpr std::string_view kLayerPrefix = "layer";
constexpr std::string_view kPartitionPrefix = "partition";

std::string describe_disk(const Disk& disk, const std::string& path) {
  return fmt::format("{} {}, {} bytes, {}", to_string(disk.type()), to_string(disk.format()),
                     disk.geometry().virtual_size_bytes, path);
}

/// N of a name that is `prefix` and N; 0 for any other.
std::size_t number_of(std::string_view prefix, std::string_view name) noexcept {
  if (!name.starts_with(prefix)) return 0;
  name.remove_prefix(prefix.size());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool whole = error == std::errc() && end == name.data() + name.size() && !name.starts_with('0');
  return whole ? number : 0;
}

/// Those that can hold a file system.
Result<std::vector<filesystem::Partition>> partitions_of(const Disk& disk) {
  const auto read = [&disk](DiskOffset at, std::span<std::byte> into) { return disk.read(at, into); };
  const DiskGeometry& geometry = disk.geometry();
  auto table = VDISK_TRY(
      filesystem::read_partition_table(read, geometry.virtual_size_bytes, geometry.logical_sector_bytes));
  std::erase_if(table.partitions, &filesystem::Partition::container);
  return std::move(table.partitions);
}

}  // namespace

Result<std::shared_ptr<ServedDisk>> ServedImage::open_disk(const std::string& path, OpenOptions options,
                                                           bool writable) const {
  options.writable = writable;
  return std::make_shared<ServedDisk>(VDISK_TRY(Disk::open(path, options)), writable);
}

Status ServedImage::open() {
  const std::lock_guard lock(mutex_);
  leaf_ = VDISK_TRY(open_disk(path_, options_, false));
  return {};
}

Result<std::shared_ptr<ServedDisk>> ServedImage::leaf(bool read_only) {
  if (leaf_ != nullptr && (read_only || leaf_->writable)) return leaf_;
  if (!read_only) {
    leaf_.reset();  // its lock is a reader's
    auto opened = open_disk(path_, options_, true);
    if (opened) return leaf_ = *std::move(opened);
    if (opened.error().code() != win32::kWriteProtect) return opened;
    if (options_.trace) {
      options_.trace(TraceLevel::kNote, fmt::format("{}; it is served read-only", opened.error().message()));
    }
  }
  return leaf_ = VDISK_TRY(open_disk(path_, options_, false));
}

Result<std::shared_ptr<ServedDisk>> ServedImage::layer(std::size_t number) {
  if (const auto known = layers_.find(number); known != layers_.end()) return known->second;
  const Chain& chain = VDISK_TRY(leaf(true))->disk.impl().chain;
  if (number >= chain.size()) {
    return fail(faults::kNoExport, "{}: has {} parents, so there is no export \"{}{}\"", path_,
                chain.size() - 1, kLayerPrefix, number);
  }
  const Layer& parent = chain.layer(number);
  OpenOptions options = options_;
  options.format = parent.image->format().id;
  return layers_[number] = VDISK_TRY(open_disk(parent.path, std::move(options), false));
}

Result<std::unique_ptr<Export>> ServedImage::export_by_name(std::string_view name, bool read_only) {
  const std::lock_guard lock(mutex_);
  const std::size_t parent = number_of(kLayerPrefix, name);
  const std::size_t partition = number_of(kPartitionPrefix, name);
  if (!name.empty() && parent == 0 && partition == 0) {
    return fail(
        faults::kNoExport,
        "{}: has no export \"{}\"; its names are \"\", \"partition1\" … and, for its parents, \"layer1\" …",
        path_, name);
  }
  std::shared_ptr<ServedDisk> served = VDISK_TRY(parent == 0 ? leaf(read_only) : layer(parent));
  DiskRange range{{0}, served->disk.geometry().virtual_size_bytes};
  if (partition != 0) {
    const auto partitions = VDISK_TRY(partitions_of(served->disk));
    const auto found = std::ranges::find(partitions, partition, &filesystem::Partition::number);
    if (found == partitions.end()) {
      return fail(faults::kNoExport, "{}: has no partition {} for the export \"{}\"", path_, partition, name);
    }
    range = found->range;
  }
  return std::make_unique<Export>(std::move(served), range);
}

Result<std::vector<ExportRow>> ServedImage::list() {
  const std::lock_guard lock(mutex_);
  const Disk& disk = VDISK_TRY(leaf(true))->disk;
  std::vector<ExportRow> rows{{"", describe_disk(disk, path_)}};
  for (const filesystem::Partition& partition : VDISK_TRY(partitions_of(disk))) {
    rows.push_back({fmt::format("{}{}", kPartitionPrefix, partition.number),
                    fmt::format("{} bytes, {}", partition.range.length,
                                partition.name.empty() ? partition.type : partition.name)});
  }
  for (std::size_t i = 1; i < disk.layer_count(); ++i) {
    rows.push_back({fmt::format("{}{}", kLayerPrefix, i), "read-only, " + disk.impl().chain.layer(i).path});
  }
  return rows;
}

Status ServedImage::close() {
  const std::lock_guard lock(mutex_);
  layers_.clear();
  if (leaf_ == nullptr) return {};
  const std::shared_ptr<ServedDisk> disk = std::move(leaf_);
  return disk->disk.close();
}

}  // namespace vdisk::serve::nbd
