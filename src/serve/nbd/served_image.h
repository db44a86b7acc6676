// SPDX-License-Identifier: Apache-2.0
//
// One image being served: which exports it has, and the disks behind them.
#pragma once

#include <vdisk/disk.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "serve/nbd/export.h"

namespace vdisk::serve::nbd {

/// An export by name: "" is the disk, "partition1" a partition of it, numbered as Linux does, "layer1" its
/// parent, "layer2" the parent's parent, and so on.
struct ExportRow {
  std::string name;
  std::string description;
};

/// Thread rule: any number of threads, but for open() before and close() after all else. Owner: must not be
/// destroyed in a process that has forked it off to another.
class ServedImage {
 public:
  ServedImage(std::string path, OpenOptions options) : path_(std::move(path)), options_(std::move(options)) {}

  /// Opens the image for reading, so that what cannot be served is told before there is a client. Fails as
  /// Disk::open.
  Status open();
  /// A client's view of the export `name`. The first client that may write opens the image for writing; an
  /// image that never can be written is shown to it read-only. Fails with nbd.no_export and as Disk::open.
  Result<std::unique_ptr<Export>> export_by_name(std::string_view name, bool read_only);
  Result<std::vector<ExportRow>> list();
  /// Closes the disk that was written. **Durability:** as Disk::close.
  Status close();

 private:
  Result<std::shared_ptr<ServedDisk>> leaf(bool read_only);
  Result<std::shared_ptr<ServedDisk>> layer(std::size_t number);
  Result<std::shared_ptr<ServedDisk>> open_disk(const std::string& path, OpenOptions options,
                                                bool writable) const;

  const std::string path_;
  const OpenOptions options_;
  std::mutex mutex_;
  std::shared_ptr<ServedDisk> leaf_;
  std::map<std::size_t, std::shared_ptr<ServedDisk>> layers_;
};

}  // namespace vdisk::serve::nbd
