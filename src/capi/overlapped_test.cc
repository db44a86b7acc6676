// SPDX-License-Identifier: Apache-2.0
//
// Operations that are under way, which only other threads than theirs see. What is left of one that has ended
// is in tests/capi/overlapped_test.c.
#include "capi/overlapped.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/fault.h"
#include "capi/faults.h"

namespace vdisk::capi {
namespace {

using Kind = OverlappedCall::Kind;

/// A virtual disk handle with an operation that runs until it is told its end.
class Running {
 public:
  Running(Kind kind, HANDLE event) {
    overlapped.hEvent = event;
    thread_ = std::thread([this, kind] {
      OverlappedCall call(&overlapped, kind);
      call.run([&]() -> Status {
        call.runs_on(object_);
        running_ = true;
        while (!ended_) std::this_thread::yield();
        if (fails_) return fail(faults::kNothingToCancel, "the test says so");
        call.bytes_moved = 4096;
        return {};
      });
    });
    while (!running_) std::this_thread::yield();
  }
  ~Running() {
    if (thread_.joinable()) end(true);
    CloseHandle(handle);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  void end(bool well) {
    fails_ = !well;
    ended_ = true;
    thread_.join();
  }
  /// Without waiting for it.
  void end_soon() { ended_ = true; }

  DWORD operation_status() {
    VIRTUAL_DISK_PROGRESS progress{};
    const DWORD code = GetVirtualDiskOperationProgress(handle, &overlapped, &progress);
    if (code == ERROR_SUCCESS) EXPECT_NE(progress.CompletionValue, 0U);
    return code == ERROR_SUCCESS ? progress.OperationStatus : code + 1'000'000;
  }

  OVERLAPPED overlapped{};

 private:
  const std::shared_ptr<OpenHandle> object_ = std::make_shared<OpenHandle>();

 public:
  const HANDLE handle = HandleTable::instance().add(object_);

 private:
  std::atomic<bool> running_{false};
  std::atomic<bool> ended_{false};
  std::atomic<bool> fails_{false};
  std::thread thread_;
};

DWORD result(HANDLE handle, OVERLAPPED* overlapped, bool wait) {
  DWORD moved = 0;
  if (GetOverlappedResult(handle, overlapped, &moved, wait) == FALSE) return GetLastError();
  EXPECT_EQ(moved, 4096U);
  return ERROR_SUCCESS;
}

TEST(OverlappedThreads, AnOperationIsSeenWhileItRuns) {
  const HANDLE event = CreateEventW(nullptr, TRUE, TRUE, nullptr);
  Running disk(Kind::kDiskOperation, event);
  EXPECT_EQ(disk.operation_status(), DWORD{ERROR_IO_PENDING});
  EXPECT_EQ(result(disk.handle, &disk.overlapped, false), DWORD{ERROR_IO_INCOMPLETE});
  EXPECT_EQ(WaitForSingleObject(event, 0), DWORD{WAIT_TIMEOUT});  // reset at the start
  EXPECT_EQ(WaitForSingleObject(disk.handle, 20), DWORD{WAIT_TIMEOUT});
  OVERLAPPED other{};
  other.Internal = STATUS_PENDING;
  EXPECT_EQ(result(disk.handle, &other, true), DWORD{ERROR_IO_INCOMPLETE});  // no operation: no wait
  EXPECT_EQ(CancelIoEx(disk.handle, &disk.overlapped), FALSE);
  EXPECT_EQ(GetLastError(), DWORD{ERROR_NOT_FOUND});
  disk.end(true);
  EXPECT_EQ(disk.operation_status(), DWORD{ERROR_SUCCESS});
  EXPECT_EQ(WaitForSingleObject(event, 0), DWORD{WAIT_OBJECT_0});
  EXPECT_EQ(WaitForSingleObject(disk.handle, 0), DWORD{WAIT_OBJECT_0});
  CloseHandle(event);
}

TEST(OverlappedThreads, AllWhoWaitAreLetGo) {
  for (const bool well : {true, false}) {
    const HANDLE event = CreateEventW(nullptr, TRUE, FALSE, nullptr);
    Running disk(Kind::kTransfer, event);
    EXPECT_EQ(disk.operation_status(), 1'000'000U + ERROR_NOT_FOUND);  // a transfer has no progress
    const DWORD wanted = well ? ERROR_SUCCESS : ERROR_NOT_FOUND;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] { EXPECT_EQ(result(disk.handle, &disk.overlapped, true), wanted); });
      threads.emplace_back(
          [&] { EXPECT_EQ(WaitForSingleObject(disk.handle, INFINITE), DWORD{WAIT_OBJECT_0}); });
    }
    if (well)
      threads.emplace_back([&] { EXPECT_EQ(WaitForSingleObject(event, INFINITE), DWORD{WAIT_OBJECT_0}); });
    Sleep(20);
    disk.end(well);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(WaitForSingleObject(event, 0), well ? DWORD{WAIT_OBJECT_0} : DWORD{WAIT_TIMEOUT});
    CloseHandle(event);
  }
}

/// A client that waits for the event gives up the structure at once, and may close the event.
TEST(OverlappedThreads, TheStructureIsTheClientsOnceItsEventIsSet) {
  for (int round = 0; round < 100; ++round) {
    const HANDLE event = CreateEventW(nullptr, FALSE, FALSE, nullptr);
    Running disk(Kind::kTransfer, event);
    disk.end_soon();
    EXPECT_EQ(WaitForSingleObject(event, INFINITE), DWORD{WAIT_OBJECT_0});
    EXPECT_EQ(disk.overlapped.InternalHigh, 4096U);
    disk.overlapped = {};
    CloseHandle(event);
  }
}

TEST(OverlappedThreads, TheHandleIsSignalledWhenTheLastOperationHasEnded) {
  const auto object = std::make_shared<OpenHandle>();
  const HANDLE handle = HandleTable::instance().add(object);
  OVERLAPPED one{};
  OVERLAPPED two{};
  const auto first = std::make_shared<Operation>(&one, true);
  const auto second = std::make_shared<Operation>(&two, true);
  EXPECT_EQ(WaitForSingleObject(handle, 0), DWORD{WAIT_OBJECT_0});
  object->operations.start(first);
  object->operations.start(second);
  object->operations.end(*first, ERROR_SUCCESS);
  EXPECT_EQ(WaitForSingleObject(handle, 0), DWORD{WAIT_TIMEOUT});
  object->operations.end(*second, ERROR_DISK_FULL);
  EXPECT_EQ(WaitForSingleObject(handle, 0), DWORD{WAIT_OBJECT_0});
  EXPECT_EQ(object->operations.status(&one), DWORD{ERROR_SUCCESS});
  EXPECT_EQ(object->operations.status(&two), DWORD{ERROR_DISK_FULL});
  CloseHandle(handle);
}

}  // namespace
}  // namespace vdisk::capi
