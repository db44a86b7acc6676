// SPDX-License-Identifier: Apache-2.0
//
// The storage seam: what the engine needs of the place where an image lies. Implemented by a local file
// (posix_file.h), by memory (memory_file.h), by the VHDX log overlay, by the recording and failing files of the
// tests, and later by remote storage.
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vdisk {

/// Tells whether two open files are the same file. For local files: device and inode; for others a number of
/// their own with device 0.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  auto operator<=>(const FileIdentity&) const = default;
};

/// A positional, thread-safe file: any member from any thread at any time. No member moves a cursor.
class File {
 public:
  virtual ~File() = default;
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Reads up to `into.size()` bytes; fewer only where the file ends. Retries interrupted and partial reads.
  virtual Result<std::size_t> read(FileOffset at, std::span<std::byte> into) = 0;
  /// Writes all of `from`, extending the file if need be. **Durability:** none before flush().
  virtual Status write(FileOffset at, std::span<const std::byte> from) = 0;
  /// **Durability:** everything written, zeroed, punched or resized before the call is on stable storage after it.
  virtual Status flush() = 0;
  virtual Result<std::uint64_t> size() = 0;
  /// Truncates, or extends with zeros.
  virtual Status resize(std::uint64_t size_bytes) = 0;
  /// Makes the range read as zeros and keeps (or makes) it allocated; never changes the size.
  virtual Status zero(FileOffset at, std::uint64_t length) = 0;
  /// Makes the range read as zeros and frees its space where the storage can; never changes the size.
  virtual Status punch(FileOffset at, std::uint64_t length) = 0;
  /// The first offset at or after `from` that may hold data (or that lies in a hole); the file's size if none.
  /// Storage without this knowledge reports everything as data.
  virtual Result<FileOffset> next_data(FileOffset from) = 0;
  virtual Result<FileOffset> next_hole(FileOffset from) = 0;
  /// A descriptor whose offsets are this file's own, for zero-copy payload paths; -1 if there is none.
  virtual int fd() const noexcept { return -1; }
  /// In what unit fd() must be read and written: offset, length and memory are multiples of it.
  virtual std::uint32_t fd_unit_bytes() const noexcept { return 1; }
  virtual bool writable() const noexcept = 0;
  virtual Result<FileIdentity> identity() = 0;
  /// For messages: the path, or a description.
  virtual const std::string& name() const noexcept = 0;
};

/// Reads exactly `into.size()` bytes; a shorter file is the fault "io.short_read" (code 38).
Status read_exactly(File& file, FileOffset at, std::span<std::byte> into);

/// Reads what is there and fills the rest of `into` with zeros; returns how many bytes were there.
Result<std::size_t> read_zero_padded(File& file, FileOffset at, std::span<std::byte> into);

}  // namespace vdisk
