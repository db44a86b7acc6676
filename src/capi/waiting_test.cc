// SPDX-License-Identifier: Apache-2.0
//
// Events in the hands of several threads. What one thread sees of them is in tests/capi/events_test.c.
#include "capi/waiting.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "capi/event.h"

namespace vdisk::capi {
namespace {

/// An event whose handle is closed with it.
class OwnedEvent {
 public:
  explicit OwnedEvent(bool manual_reset) : handle_(CreateEventW(nullptr, manual_reset, FALSE, nullptr)) {}
  ~OwnedEvent() { CloseHandle(handle_); }
  OwnedEvent(const OwnedEvent&) = delete;
  OwnedEvent& operator=(const OwnedEvent&) = delete;
  HANDLE get() const { return handle_; }

 private:
  HANDLE handle_;
};

/// Threads that each wait once, and count themselves when they are let go.
class Waiters {
 public:
  Waiters(int count, std::vector<HANDLE> handles, bool all) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, handles, all] {
        ++begun_;
        const DWORD result =
            WaitForMultipleObjects(static_cast<DWORD>(handles.size()), handles.data(), all, INFINITE);
        EXPECT_LT(result, handles.size());
        ++gone_;
      });
    }
    while (begun_ < count) Sleep(1);
    Sleep(50);  // they are about to wait; one that comes late finds the event set, or shows a bug less often
  }
  ~Waiters() {
    for (std::thread& thread : threads_) thread.join();
  }
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;

  int gone() const { return gone_; }
  void await_gone(int count) const {
    while (gone_ < count) Sleep(1);
  }

 private:
  std::atomic<int> begun_{0};
  std::atomic<int> gone_{0};
  std::vector<std::thread> threads_;
};

TEST(WaitingThreads, AManualResetEventLetsAllGo) {
  const OwnedEvent event(true);
  const Waiters waiters(8, {event.get()}, false);
  EXPECT_EQ(waiters.gone(), 0);
  SetEvent(event.get());
  waiters.await_gone(8);
}

TEST(WaitingThreads, AnAutoResetEventLetsOneGoEachTime) {
  const OwnedEvent event(false);
  const Waiters waiters(8, {event.get()}, false);
  for (int i = 1; i <= 8; ++i) {
    SetEvent(event.get());
    waiters.await_gone(i);
    Sleep(10);
    EXPECT_EQ(waiters.gone(), i);
  }
  EXPECT_EQ(WaitForSingleObject(event.get(), 0), DWORD{WAIT_TIMEOUT});
}

TEST(WaitingThreads, AllOfSeveralAreTakenAtOnce) {
  const OwnedEvent one(false);
  const OwnedEvent two(false);
  const OwnedEvent three(true);
  const Waiters waiters(2, {one.get(), two.get(), three.get()}, true);
  SetEvent(one.get());
  SetEvent(three.get());
  Sleep(20);
  EXPECT_EQ(waiters.gone(), 0);
  EXPECT_EQ(WaitForSingleObject(one.get(), 0), DWORD{WAIT_OBJECT_0});  // it was not taken by the waiters
  SetEvent(two.get());
  Sleep(20);
  EXPECT_EQ(waiters.gone(), 0);
  SetEvent(one.get());
  waiters.await_gone(1);
  SetEvent(one.get());
  SetEvent(two.get());
  waiters.await_gone(2);
}

/// Is never signalled, and knows that somebody waits for it.
class Probe final : public Waitable {
 public:
  bool asked() const {
    const MutexLock lock(wait_lock);
    return asked_;
  }

 private:
  bool signalled() const VDISK_REQUIRES(wait_lock) override {
    asked_ = true;
    return false;
  }
  mutable bool asked_ VDISK_GUARDED_BY(wait_lock) = false;
};

/// Whom set() lets go is gone, even if reset() follows before the thread has run.
TEST(WaitingThreads, ASetEventIsNotMissed) {
  for (int round = 0; round < 200; ++round) {
    const auto event = std::make_shared<const Event>(true, false);
    const auto probe = std::make_shared<const Probe>();
    std::thread thread([&] {
      const std::array<std::shared_ptr<const Waitable>, 2> objects{probe, event};
      EXPECT_EQ(wait_for(objects, false, 60'000), 1U);
    });
    while (!probe->asked()) std::this_thread::yield();
    event->set();
    event->reset();
    thread.join();
    if (HasFailure()) return;
  }
}

/// Each token is taken by exactly one thread, whatever ends by its time first.
TEST(WaitingThreads, NothingIsLostBetweenTimeOutsAndSignals) {
  const OwnedEvent event(false);
  const OwnedEvent taken(false);
  std::atomic<bool> over{false};
  std::atomic<int> count{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        if (WaitForSingleObject(event.get(), 1) != WAIT_OBJECT_0) continue;
        ++count;
        SetEvent(taken.get());
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    SetEvent(event.get());
    ASSERT_EQ(WaitForSingleObject(taken.get(), 60'000), DWORD{WAIT_OBJECT_0});
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 500);
}

TEST(WaitingThreads, AHandleMayBeClosedBesideAWait) {
  const HANDLE event = CreateEventW(nullptr, FALSE, FALSE, nullptr);
  std::thread thread([&] { EXPECT_EQ(WaitForSingleObject(event, 100), DWORD{WAIT_TIMEOUT}); });
  Sleep(50);
  EXPECT_EQ(CloseHandle(event), TRUE);
  thread.join();
}

}  // namespace
}  // namespace vdisk::capi
