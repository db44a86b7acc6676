// SPDX-License-Identifier: Apache-2.0
//
// A mutex that clang's thread-safety analysis understands (-Wthread-safety, an error in the `clang` preset).
#pragma once

#include <mutex>

#if defined(__clang__)
#define VDISK_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define VDISK_THREAD_ANNOTATION(x)
#endif

#define VDISK_CAPABILITY(x) VDISK_THREAD_ANNOTATION(capability(x))
#define VDISK_SCOPED_CAPABILITY VDISK_THREAD_ANNOTATION(scoped_lockable)
#define VDISK_GUARDED_BY(x) VDISK_THREAD_ANNOTATION(guarded_by(x))
#define VDISK_REQUIRES(...) VDISK_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define VDISK_ACQUIRE(...) VDISK_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define VDISK_RELEASE(...) VDISK_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define VDISK_EXCLUDES(...) VDISK_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace vdisk {

class VDISK_CAPABILITY("mutex") Mutex {
 public:
  void lock() VDISK_ACQUIRE() { mutex_.lock(); }
  void unlock() VDISK_RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class VDISK_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) VDISK_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() VDISK_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace vdisk
