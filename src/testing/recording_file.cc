// SPDX-License-Identifier: Apache-2.0
#include "testing/recording_file.h"

#include "base/fault.h"

namespace vdisk::testing {

std::string IoEvent::to_string() const {
  switch (kind) {
    case Kind::kWrite:
      return fmt::format("write {:#x}+{:#x}", at, length);
    case Kind::kZero:
      return fmt::format("zero {:#x}+{:#x}", at, length);
    case Kind::kPunch:
      return fmt::format("punch {:#x}+{:#x}", at, length);
    case Kind::kResize:
      return fmt::format("resize {:#x}", length);
    case Kind::kFlush:
      return fmt::format("flush of the first {} events", covers);
    case Kind::kPromise:
      return fmt::format("promise {} {}", promise, text);
  }
  return {};
}

void Recording::promise(std::uint64_t promise, std::string text) {
  const MutexLock lock(mutex_);
  IoEvent event{.kind = IoEvent::Kind::kPromise};
  event.promise = promise;
  event.text = std::move(text);
  events_.push_back(std::move(event));
}

// Changes and their records are made under one lock, so that the record's order is the order of effect.

Status RecordingFile::write(FileOffset at, std::span<const std::byte> from) {
  const MutexLock lock(recording_.mutex_);
  VDISK_TRY(below_.write(at, from));
  IoEvent event{.kind = IoEvent::Kind::kWrite, .at = at.bytes, .length = from.size()};
  event.bytes.assign(from.begin(), from.end());
  recording_.events_.push_back(std::move(event));
  return {};
}

// A flush covers what was complete when it was called, not what others wrote while it ran.
Status RecordingFile::flush() {
  std::size_t covers = 0;
  {
    const MutexLock lock(recording_.mutex_);
    covers = recording_.events_.size();
  }
  VDISK_TRY(below_.flush());
  if (recording_.during_flush) recording_.during_flush();
  const MutexLock lock(recording_.mutex_);
  IoEvent event{.kind = IoEvent::Kind::kFlush};
  event.covers = covers;
  recording_.events_.push_back(std::move(event));
  return {};
}

Status RecordingFile::resize(std::uint64_t size_bytes) {
  const MutexLock lock(recording_.mutex_);
  VDISK_TRY(below_.resize(size_bytes));
  recording_.events_.push_back({.kind = IoEvent::Kind::kResize, .length = size_bytes});
  return {};
}

Status RecordingFile::zero(FileOffset at, std::uint64_t length) {
  const MutexLock lock(recording_.mutex_);
  VDISK_TRY(below_.zero(at, length));
  recording_.events_.push_back({.kind = IoEvent::Kind::kZero, .at = at.bytes, .length = length});
  return {};
}

Status RecordingFile::punch(FileOffset at, std::uint64_t length) {
  const MutexLock lock(recording_.mutex_);
  VDISK_TRY(below_.punch(at, length));
  recording_.events_.push_back({.kind = IoEvent::Kind::kPunch, .at = at.bytes, .length = length});
  return {};
}

}  // namespace vdisk::testing
