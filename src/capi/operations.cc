// SPDX-License-Identifier: Apache-2.0
#include "capi/operations.h"

#include <algorithm>
#include <utility>

namespace vdisk::capi {

void Operations::start(std::shared_ptr<Operation> operation) const {
  const MutexLock lock(wait_lock);
  std::erase_if(operations_, [&](const auto& one) VDISK_REQUIRES(wait_lock) {
    return one->code_.has_value() && one->overlapped_ == operation->overlapped_;
  });
  operations_.push_back(std::move(operation));
  ++under_way_count_;
}

void Operations::end(Operation& operation, DWORD code) const noexcept {
  const MutexLock lock(wait_lock);
  operation.code_ = code;
  --under_way_count_;
  const auto ended = [](const auto& one) VDISK_REQUIRES(wait_lock) { return one->code_.has_value(); };
  if (!operation.remembered_) {
    std::erase_if(operations_, [&](const auto& one) { return one.get() == &operation; });
  } else if (static_cast<std::size_t>(std::count_if(operations_.begin(), operations_.end(), ended)) >
             kMostEnded) {
    operations_.erase(std::find_if(operations_.begin(), operations_.end(), ended));
  }
  operation.wake();
  if (under_way_count_ == 0) wake();
}

std::shared_ptr<const Operation> Operations::under_way(const OVERLAPPED* overlapped) const {
  const MutexLock lock(wait_lock);
  for (const auto& one : operations_) {
    if (one->overlapped_ == overlapped && !one->code_) return one;
  }
  return nullptr;
}

std::optional<DWORD> Operations::status(const OVERLAPPED* overlapped) const {
  const MutexLock lock(wait_lock);
  for (const auto& one : operations_) {
    if (one->overlapped_ == overlapped && one->remembered_) return one->code_.value_or(ERROR_IO_PENDING);
  }
  return std::nullopt;
}

}  // namespace vdisk::capi
