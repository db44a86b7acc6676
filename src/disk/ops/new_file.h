// SPDX-License-Identifier: Apache-2.0
//
// A file that appears under its name only when it is complete.
#pragma once

#include <memory>
#include <string>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk::ops {

/// Made without a name (O_TMPFILE) where the file system can, else under a temporary name beside the target.
/// Until `publish` succeeds nothing is seen under the target's name; without it, destruction leaves nothing
/// behind. Thread rule: one thread.
class NewFile {
 public:
  enum class Method {
    kBest,           ///< Without a name if possible.
    kTemporaryName,  ///< As on file systems without O_TMPFILE.
  };

  /// Fails with io.exists when something is at `path` already, and with the io rows of making a file. The
  /// file's mode is 0666 less umask.
  static Result<NewFile> create(const std::string& path, Method method = Method::kBest);
  NewFile(NewFile&&) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  /// Positional access to the content.
  File& file() noexcept { return *file_; }
  /// Gives the file its name; never replaces another file (io.exists).
  /// **Durability:** the folder is flushed; the content must have been flushed before.
  Status publish();

 private:
  NewFile(std::string path, std::string temporary, std::unique_ptr<File> file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}
  Status name_it();

  std::string path_;
  std::string temporary_;  ///< Empty when the file has no name, or has its own.
  std::unique_ptr<File> file_;
};

}  // namespace vdisk::ops
