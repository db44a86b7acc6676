// SPDX-License-Identifier: Apache-2.0
//
// The first half of the crash net: a file that writes down, in order, all that was done to it, and every
// promise that the code under test made to a caller on the strength of it. crash_explorer.h builds from that
// record the states in which a power cut could have left the file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "io/file.h"
#include "testing/cow_file.h"

namespace vdisk::testing {

/// One thing that was done.
struct IoEvent {
  enum class Kind : std::uint8_t { kWrite, kZero, kPunch, kResize, kFlush, kPromise };
  Kind kind = Kind::kWrite;
  std::uint64_t at = 0;            ///< kWrite, kZero, kPunch.
  std::uint64_t length = 0;        ///< kWrite, kZero, kPunch; the new size for kResize.
  std::vector<std::byte> bytes{};  ///< kWrite.
  std::size_t covers = 0;          ///< kFlush: makes the events before this index durable.
  std::uint64_t promise = 0;       ///< kPromise: whatever the test chose.
  std::string text{};              ///< kPromise: for messages.

  std::string to_string() const;
};

/// What happened to one file from a known beginning. Thread rule: add members from any thread; read the
/// events when the writers have stopped.
class Recording {
 public:
  /// `base` is the file before the first event; it must not change any more.
  explicit Recording(std::shared_ptr<File> base) : base_(std::move(base)) {}

  /// "From here on the caller relies on it": a flush that returned, a close, a created file. The oracle gets
  /// all promises made before a crash, and decides what each means.
  void promise(std::uint64_t promise, std::string text = {}) VDISK_EXCLUDES(mutex_);

  /// Called within each flush: lets a test do what another thread could do at that moment.
  std::function<void()> during_flush;

  const std::shared_ptr<File>& base() const noexcept { return base_; }
  /// REQUIRES: nobody adds to the record any more.
  const std::vector<IoEvent>& events() const noexcept VDISK_THREAD_ANNOTATION(no_thread_safety_analysis) {
    return events_;
  }

 private:
  friend class RecordingFile;
  const std::shared_ptr<File> base_;
  Mutex mutex_;
  std::vector<IoEvent> events_ VDISK_GUARDED_BY(mutex_);
};

/// A copy-on-write view of the recording's base that adds what is done to it to the recording. The recording
/// outlives it. To test failing I/O as well, put a FaultFile above (never below) this one.
class RecordingFile final : public File {
 public:
  explicit RecordingFile(Recording& recording) : recording_(recording), below_(recording.base()) {}

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override {
    return below_.read(at, into);
  }
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override;
  Result<std::uint64_t> size() override { return below_.size(); }
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override;
  Status punch(FileOffset at, std::uint64_t length) override;
  Result<FileOffset> next_data(FileOffset from) override { return below_.next_data(from); }
  Result<FileOffset> next_hole(FileOffset from) override { return below_.next_hole(from); }
  bool writable() const noexcept override { return true; }
  Result<FileIdentity> identity() override { return below_.identity(); }
  const std::string& name() const noexcept override { return below_.name(); }

 private:
  Recording& recording_;
  CowFile below_;
};

}  // namespace vdisk::testing
