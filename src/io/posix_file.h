// SPDX-License-Identifier: Apache-2.0
//
// A local file. Opening is careful because the path may come from an untrusted image: never blocks
// (O_NONBLOCK), never follows magic links, and looks at what was opened before it is used.
#pragma once

#include <vdisk/control.h>

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk {

struct PosixOpen {
  bool writable = false;
  /// Takes the lock described in file_lock.h: shared for readers, exclusive for writers.
  bool lock = true;
  /// Also accepts a block device (a caller named it himself); never set for a path that an image records. A writer
  /// has it exclusively: what is mounted or otherwise claimed is io.locked.
  bool allow_block_device = false;
  /// Past the page cache, where the file system can: see direct_file.h.
  bool direct = false;
  TraceSink trace = {};  ///< Told when the file system has no locks, or cannot bypass its cache.
};

/// Fails with io.not_found, io.path_not_found, io.access_denied, io.not_regular, io.invalid_name, io.locked,
/// … Owner: the returned object holds descriptor and lock until it dies.
Result<std::unique_ptr<File>> open_posix_file(const std::string& path, const PosixOpen& options);

/// Makes a new file, or fails with io.exists; mode 0666 less umask. The file is locked as for a writer.
Result<std::unique_ptr<File>> create_posix_file(const std::string& path);

/// Takes over the descriptor of a file that was just made and is open for reading and writing; locks it as for a writer.
/// `name` is what messages call it.
Result<std::unique_ptr<File>> adopt_new_file(UniqueFd fd, const std::string& name);

/// Flushes the directory that holds `path`, so that a name made or removed there is on stable storage.
Status flush_parent_directory(const std::string& path);

}  // namespace vdisk
