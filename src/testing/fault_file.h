// SPDX-License-Identifier: Apache-2.0
//
// A file whose n-th operation fails, and the loop that runs an operation with n = 1, 2, … until it gets
// through.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "io/file.h"

namespace vdisk::testing {

struct FaultPlan {
  std::uint64_t fail_at = 0;  ///< The operation (1 is the first) that fails; 0: none does.
  int os_errno = 5;  ///< EIO; ENOSPC (28) fails only what can need space: write, zero, resize, flush.
  bool sticky =
      false;  ///< All operations of a failing kind after it fail too: a dead disk, a full file system.
  bool half_writes = true;  ///< A failing write leaves its first half (in whole 512-byte sectors) behind.
};

/// Passes everything on to `below` but the operation that is to fail. Thread rule: as every File.
class FaultFile final : public File {
 public:
  FaultFile(std::shared_ptr<File> below, FaultPlan plan) : below_(std::move(below)), plan_(plan) {}

  /// Operations so far that could have failed, and how many did.
  std::uint64_t counted() const VDISK_EXCLUDES(mutex_);
  std::uint64_t failed() const VDISK_EXCLUDES(mutex_);

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override;
  Result<std::uint64_t> size() override;
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override;
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override;
  Result<FileOffset> next_hole(FileOffset from) override;
  bool writable() const noexcept override { return below_->writable(); }
  Result<FileIdentity> identity() override { return below_->identity(); }
  const std::string& name() const noexcept override { return below_->name(); }

 private:
  Status pass(bool needs_space, const char* what) VDISK_EXCLUDES(mutex_);

  const std::shared_ptr<File> below_;
  const FaultPlan plan_;
  mutable Mutex mutex_;
  std::uint64_t counted_ VDISK_GUARDED_BY(mutex_) = 0;
  std::uint64_t failed_ VDISK_GUARDED_BY(mutex_) = 0;
};

struct FaultLoopReport {
  std::uint64_t runs = 0;  ///< Runs in which the fault struck.
  std::string failure;     ///< Empty: all is well. Else what went wrong, and at which n.
};

/// Runs `operation` on a fresh copy-on-write view of `base` with the n-th I/O failing (`plan.fail_at` is
/// ignored), n = 1, 2, … until no fault strikes any more. `judge` looks at the file that each run left behind
/// and at the operation's result, and returns "" or what is wrong. A run that no fault struck must succeed.
/// An operation may succeed although a fault struck (a redundant copy, a hint): `judge` sees that. The file
/// is given to the operation to own.
FaultLoopReport run_fault_loop(
    const std::shared_ptr<File>& base, FaultPlan plan,
    const std::function<Status(std::unique_ptr<File>)>& operation,
    const std::function<std::string(const std::shared_ptr<File>& left, const Status& result)>& judge);

}  // namespace vdisk::testing
