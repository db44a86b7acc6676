// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes of descriptors that need no thread each: batches through io_uring.
#pragma once

#include <vdisk/types.h>

#include <cstddef>
#include <memory>
#include <span>

namespace vdisk {

/// One read or write. Owner: the caller; it stays where it is until `done` was called.
struct IoOperation {
  enum class Kind { kRead, kWrite };
  Kind kind = Kind::kRead;
  int fd = -1;
  FileOffset at;
  std::span<std::byte> bytes;  ///< A write does not change them.
  /// Called by drive(): how many bytes were moved, or a negative errno.
  void (*done)(IoOperation& operation, long result) = nullptr;
  void* context = nullptr;  ///< For `done`.
};

/// Thread rule: all members by one thread at a time, the driver.
class IoEngine {
 public:
  /// Room for `depth` operations under way. Nothing where the kernel denies io_uring (old kernels,
  /// containers): callers then have threads of their own do their I/O.
  static std::unique_ptr<IoEngine> make(unsigned depth) noexcept;
  virtual ~IoEngine() = default;

  /// How many more operations can be started.
  virtual unsigned room() const noexcept = 0;
  /// Notes the operation for the next submit(). REQUIRES: room() is not 0.
  virtual void start(IoOperation& operation) noexcept = 0;
  /// Sends what was started.
  virtual void submit() noexcept = 0;
  /// Calls `done` of whatever has ended; returns how many that were. Never waits.
  virtual unsigned drive() noexcept = 0;
  /// Can be read (poll(2)) when drive() has something to do.
  virtual int event_fd() const noexcept = 0;
};

}  // namespace vdisk
