// SPDX-License-Identifier: Apache-2.0
/* Events and waiting: what each kind of event does, as a table; time-outs; waits for several; wrong
 * arguments. What several threads do to one event is in src/capi/waiting_test.cc. */
#include <time.h>

#include "check.h"

static HANDLE event(BOOL manual, BOOL set) {
  HANDLE handle;
  SetLastError(ERROR_BUSY);
  handle = CreateEvent(NULL, manual, set, NULL);
  CHECK(handle != NULL && GetLastError() == ERROR_SUCCESS);
  return handle;
}

/* s: set; r: reset; +: a wait ends at once; -: it does not. */
static const struct {
  BOOL manual, set;
  const char* steps;
} kRules[] = {
    {TRUE, FALSE, "-s++s+r-r-s+"},
    {TRUE, TRUE, "++r-s++"},
    {FALSE, FALSE, "-s+-ss+-s+-"}, /* set twice lets one go */
    {FALSE, TRUE, "+-sr-s+-"},
};

static void rules(void) {
  for (size_t i = 0; i < ARRAYSIZE(kRules); ++i) {
    for (int several = 0; several < 2; ++several) {
      HANDLE handle = event(kRules[i].manual, kRules[i].set);
      for (const char* step = kRules[i].steps; *step != 0; ++step) {
        if (*step == 's') {
          CHECK(SetEvent(handle) == TRUE);
        } else if (*step == 'r') {
          CHECK(ResetEvent(handle) == TRUE);
        } else {
          CHECK_CODE(several ? WaitForMultipleObjects(1, &handle, TRUE, 0) : WaitForSingleObject(handle, 0),
                     *step == '+' ? WAIT_OBJECT_0 : WAIT_TIMEOUT);
        }
      }
      CHECK(CloseHandle(handle) == TRUE);
    }
  }
}

static unsigned long long now(void) {
  struct timespec time;
  timespec_get(&time, TIME_UTC);
  return (unsigned long long)time.tv_sec * 1000 + (unsigned long long)time.tv_nsec / 1000000;
}

static void time_outs(void) {
  HANDLE handles[2] = {event(TRUE, FALSE), event(TRUE, TRUE)};
  unsigned long long begin = now();
  CHECK_CODE(WaitForSingleObject(handles[0], 60), WAIT_TIMEOUT);
  CHECK_CODE(WaitForMultipleObjects(2, handles, TRUE, 60), WAIT_TIMEOUT);
  Sleep(60);
  CHECK(now() - begin >= 170); /* a clock that is set meanwhile may move it a little */
  Sleep(0);
  CHECK_CODE(WaitForSingleObject(handles[1], INFINITE), WAIT_OBJECT_0);
  CHECK_CODE(WaitForSingleObject(handles[1], 0xFFFFFFFEU), WAIT_OBJECT_0);
  for (int i = 0; i < 2; ++i) CHECK(CloseHandle(handles[i]) == TRUE);
}

static void several(void) {
  HANDLE handles[4];
  handles[0] = event(FALSE, FALSE);
  handles[1] = event(FALSE, FALSE);
  handles[2] = event(TRUE, FALSE);
  handles[3] = handles[0];
  /* One of them: the lowest, and an auto-reset event is taken. */
  CHECK_CODE(WaitForMultipleObjects(3, handles, FALSE, 0), WAIT_TIMEOUT);
  CHECK(SetEvent(handles[1]) && SetEvent(handles[2]));
  CHECK_CODE(WaitForMultipleObjects(3, handles, FALSE, 0), WAIT_OBJECT_0 + 1);
  CHECK_CODE(WaitForMultipleObjects(3, handles, FALSE, INFINITE), WAIT_OBJECT_0 + 2);
  CHECK_CODE(WaitForMultipleObjects(3, handles, FALSE, INFINITE), WAIT_OBJECT_0 + 2);
  /* All of them: none is taken before. */
  CHECK(SetEvent(handles[0]));
  CHECK_CODE(WaitForMultipleObjects(3, handles, TRUE, 20), WAIT_TIMEOUT);
  CHECK_CODE(WaitForSingleObject(handles[0], 0), WAIT_OBJECT_0);
  CHECK(SetEvent(handles[0]) && SetEvent(handles[1]));
  CHECK_CODE(WaitForMultipleObjects(3, handles, TRUE, 0), WAIT_OBJECT_0);
  CHECK_CODE(WaitForMultipleObjects(2, handles, FALSE, 0), WAIT_TIMEOUT);
  /* The same twice: one of them only. */
  CHECK(SetEvent(handles[0]));
  CHECK_CODE(WaitForMultipleObjects(4, handles, TRUE, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_PARAMETER);
  CHECK_CODE(WaitForMultipleObjects(4, handles, FALSE, 0), WAIT_OBJECT_0);
  for (int i = 0; i < 3; ++i) CHECK(CloseHandle(handles[i]) == TRUE);
}

static void most_handles(void) {
  HANDLE handles[MAXIMUM_WAIT_OBJECTS + 1];
  for (int i = 0; i <= MAXIMUM_WAIT_OBJECTS; ++i) handles[i] = event(TRUE, i == MAXIMUM_WAIT_OBJECTS - 1);
  CHECK_CODE(WaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, handles, FALSE, 0), WAIT_OBJECT_0 + 63);
  CHECK_CODE(WaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS + 1, handles, FALSE, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_PARAMETER);
  CHECK_CODE(WaitForMultipleObjects(0, handles, FALSE, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_PARAMETER);
  CHECK_CODE(WaitForMultipleObjects(1, NULL, FALSE, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_PARAMETER);
  for (int i = 0; i <= MAXIMUM_WAIT_OBJECTS; ++i) CHECK(CloseHandle(handles[i]) == TRUE);
}

/* All that takes an event or something to wait for, with `handle`, which is neither. */
static void not_an_event(HANDLE handle) {
  HANDLE both[2] = {event(TRUE, TRUE), handle};
  SetLastError(0);
  CHECK(SetEvent(handle) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  SetLastError(0);
  CHECK(ResetEvent(handle) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  SetLastError(0);
  CHECK_CODE(WaitForSingleObject(handle, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_HANDLE);
  SetLastError(0);
  CHECK_CODE(WaitForMultipleObjects(2, both, FALSE, 0), WAIT_FAILED);
  CHECK_CODE(GetLastError(), ERROR_INVALID_HANDLE);
  CHECK(CloseHandle(both[0]) == TRUE);
}

static void wrong_handles_and_names(void) {
  HANDLE closed = event(TRUE, TRUE), file = NULL, disk = event(TRUE, TRUE);
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  CHECK(CloseHandle(closed) == TRUE && CloseHandle(closed) == FALSE);
  not_an_event(closed);
  not_an_event(NULL);
  not_an_event(INVALID_HANDLE_VALUE);
  CHECK_CODE(VirtdiskHandleFromPath(L"/", &file), 0);
  not_an_event(file);
  CHECK(CloseHandle(file) == TRUE);
  /* An event is no virtual disk. */
  info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
  CHECK_CODE(GetVirtualDiskInformation(disk, &size, &info, NULL), ERROR_INVALID_HANDLE);
  CHECK(CloseHandle(disk) == TRUE);

  CHECK(CreateEventW(NULL, TRUE, FALSE, L"Global\\event") == NULL && GetLastError() == ERROR_NOT_SUPPORTED);
  CHECK(CreateEventA(NULL, TRUE, FALSE, "event") == NULL && GetLastError() == ERROR_NOT_SUPPORTED);
  CHECK(strstr(VirtdiskGetLastErrorText(), "capi.event.name") != NULL);
  closed = CreateEventA(NULL, TRUE, TRUE, "");
  CHECK_CODE(WaitForSingleObject(closed, 0), WAIT_OBJECT_0);
  CHECK(CloseHandle(closed) == TRUE);
}

int main(void) {
  rules();
  time_outs();
  several();
  most_handles();
  wrong_handles_and_names();
  return checks_done();
}
