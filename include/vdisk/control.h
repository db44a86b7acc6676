// SPDX-License-Identifier: Apache-2.0
//
// What a caller hands to a long operation: a way to stop it, a way to watch it, and a place for its remarks.
// The library keeps no global state and prints nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace vdisk::inline v1 {

/// A flag that asks a running operation to stop. Copies share the flag. Thread rule: any thread, any time
/// (`cancel` is async-signal-safe). A cancelled operation fails with code 995 (ERROR_OPERATION_ABORTED) and leaves
/// what DESIGN's durability rules promise for it.
class CancellationToken {
 public:
  CancellationToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() const noexcept { flag_->store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return flag_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

/// How far an operation is. `done` never exceeds `total`; both are in the operation's own unit (bytes, for a copy).
struct Progress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

/// Called on the operation's own thread, never under a lock, at most a few times a second or per mebibyte.
using ProgressSink = std::function<void(const Progress&)>;

enum class TraceLevel { kDebug, kNote, kWarning };

/// Receives remarks (a repaired footer copy, a file system without locks). May be called from any thread that
/// uses the disk, never under a lock.
using TraceSink = std::function<void(TraceLevel, std::string_view)>;

/// What every long call takes. A default-constructed one never cancels and watches nothing.
struct OperationControl {
  CancellationToken cancellation;
  ProgressSink progress;
  TraceSink trace;
};

}  // namespace vdisk::v1
