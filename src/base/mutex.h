// SPDX-License-Identifier: Apache-2.0
//
// A mutex that clang's thread-safety analysis understands (-Wthread-safety, an error in the `clang` preset).
#pragma once

#include <mutex>
#include <shared_mutex>

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
#define VDISK_ACQUIRE_SHARED(...) VDISK_THREAD_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define VDISK_RELEASE_SHARED(...) VDISK_THREAD_ANNOTATION(release_shared_capability(__VA_ARGS__))
#define VDISK_RELEASE_GENERIC(...) VDISK_THREAD_ANNOTATION(release_generic_capability(__VA_ARGS__))
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

/// Many readers or one writer.
class VDISK_CAPABILITY("mutex") SharedMutex {
 public:
  void lock() VDISK_ACQUIRE() { mutex_.lock(); }
  void unlock() VDISK_RELEASE() { mutex_.unlock(); }
  void lock_shared() VDISK_ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void unlock_shared() VDISK_RELEASE_SHARED() { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class VDISK_SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) VDISK_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() VDISK_RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class VDISK_SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) VDISK_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~WriterLock() VDISK_RELEASE() { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace vdisk
