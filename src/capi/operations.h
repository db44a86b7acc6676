// SPDX-License-Identifier: Apache-2.0
//
// The operations on one virtual disk handle that were given an OVERLAPPED. Each ends before the call that
// started it returns; what is seen of one that is under way, another thread sees.
#pragma once

#include <virtdisk.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "capi/waiting.h"

namespace vdisk::capi {

/// Signalled when it has ended.
class Operation final : public Waitable {
 public:
  /// `overlapped` is what the operation is known by; it is never followed.
  Operation(const OVERLAPPED* overlapped, bool remembered)
      : overlapped_(overlapped), remembered_(remembered) {}

 private:
  friend class Operations;
  bool signalled() const VDISK_REQUIRES(wait_lock) override { return code_.has_value(); }

  const OVERLAPPED* const overlapped_;
  const bool remembered_;
  std::optional<DWORD> code_ VDISK_GUARDED_BY(wait_lock);
};

/// The operations of a handle, found by their OVERLAPPED. Signalled while none is under way. Thread rule: any
/// thread.
class Operations final : public Waitable {
 public:
  /// One that is remembered answers status() after its end, until its OVERLAPPED starts another one, or
  /// kMostEnded have ended after it.
  static constexpr std::size_t kMostEnded = 64;

  void start(std::shared_ptr<Operation> operation) const;
  /// Of an operation that was started here.
  void end(Operation& operation, DWORD code) const noexcept;

  /// The operation that is under way with `overlapped`; null when there is none.
  std::shared_ptr<const Operation> under_way(const OVERLAPPED* overlapped) const;
  /// ERROR_IO_PENDING or the final code of a remembered operation; unset when there is none.
  std::optional<DWORD> status(const OVERLAPPED* overlapped) const;

 private:
  bool signalled() const VDISK_REQUIRES(wait_lock) override { return under_way_count_ == 0; }

  mutable std::vector<std::shared_ptr<Operation>> operations_ VDISK_GUARDED_BY(wait_lock);  ///< Oldest first.
  mutable std::size_t under_way_count_ VDISK_GUARDED_BY(wait_lock) = 0;
};

}  // namespace vdisk::capi
