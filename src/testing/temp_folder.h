// SPDX-License-Identifier: Apache-2.0
//
// A folder of one test's own, and images saved into it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/file.h"

namespace vdisk::testing {

/// Made at construction, removed with everything in it at destruction.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  /// Writes `file` as `name`, holes as holes, folders made as needed; an older file of that name goes first.
  std::string save(const std::string& name, File& file) const;
  std::string save(const std::string& name, std::span<const std::byte> bytes) const;
  /// How many names the folder holds.
  std::size_t count() const;

 private:
  std::string path_;
};

/// Writes `file` to the host as `path`, holes as holes.
void save_sparse(File& file, const std::string& path);

/// What must not change when a file is only read: its bytes and its times.
struct FileState {
  std::vector<std::byte> bytes;
  std::int64_t mtime_nanoseconds = 0;
  std::int64_t atime_nanoseconds = 0;
  std::int64_t ctime_nanoseconds = 0;
  bool operator==(const FileState&) const = default;
};
FileState state_of(const std::string& path);

}  // namespace vdisk::testing
