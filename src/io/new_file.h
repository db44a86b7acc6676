// SPDX-License-Identifier: Apache-2.0
//
// A file that appears under its name only when it is complete.
#pragma once

#include <memory>
#include <string>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk {

/// Made without a name (O_TMPFILE) where the file system can do that, else under a hidden name beside its
/// own. Locked as for a writer from the beginning. Until publish() succeeds nothing is seen under the file's
/// own name, and without it destruction leaves nothing behind; only a process killed on a file system without
/// O_TMPFILE leaves a hidden file,
/// ".NAME.0123456789abcdef.part". Thread rule: one thread.
class NewFile {
 public:
  enum class Method {
    kBest,
    kTemporaryName,  ///< As if there were no O_TMPFILE.
    kLink,           ///< And as if files could not be renamed without replacing others.
  };

  /// Fails with io.exists (80) when something is at `path` already, and as open_posix_file for the folder.
  /// The file's mode is 0666 less umask.
  static Result<NewFile> create(const std::string& path, Method method = Method::kBest);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  File& file() noexcept { return *file_; }

  /// Flushes the file, gives it its name and flushes the folder. Never replaces another file (io.exists).
  /// After a failure the name is not there, unless someone else made it.
  /// **Durability:** content and name are on stable storage on success.
  Status publish();

 private:
  NewFile(std::string path, std::string temporary, Method method, std::unique_ptr<File> file);
  Status name_it();
  Status rename_it();

  const std::string path_;
  std::string temporary_;  ///< Empty when the file has no name, or has its own.
  const Method method_;
  std::unique_ptr<File> file_;
};

}  // namespace vdisk
