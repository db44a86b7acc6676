// SPDX-License-Identifier: Apache-2.0
/* CloseHandle, GetLastError, ReadFile and their like reach the library although foreign_names.c, in the same
 * program, defines functions of these names. */
#include <stdio.h>
#include <virtdisk.h>
#include <windows.h>

extern int foreign_calls;

#define EXPECT(condition) \
  if (!(condition)) return printf("line %d: %s\n", __LINE__, #condition), 1

int main(void) {
  HANDLE event;
  SetLastError(ERROR_BUSY);
  EXPECT(GetLastError() == ERROR_BUSY);
  EXPECT(CloseHandle(NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  SetLastError(ERROR_SUCCESS);
  EXPECT(CloseHandle(INVALID_HANDLE_VALUE) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(ReadFile(NULL, NULL, 0, NULL, NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(WriteFile(NULL, NULL, 0, NULL, NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(FlushFileBuffers(NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(GetOverlappedResult(NULL, NULL, NULL, FALSE) == FALSE && GetLastError() == ERROR_INVALID_PARAMETER);
  EXPECT(CancelIo(NULL) == FALSE && CancelIoEx(NULL, NULL) == FALSE);
  EXPECT((event = CreateEventA(NULL, TRUE, FALSE, NULL)) != NULL && CloseHandle(event) == TRUE);
  EXPECT((event = CreateEventW(NULL, TRUE, FALSE, NULL)) != NULL);
  EXPECT(SetEvent(event) == TRUE && WaitForSingleObject(event, 0) == WAIT_OBJECT_0);
  EXPECT(ResetEvent(event) == TRUE && WaitForMultipleObjects(1, &event, FALSE, 0) == WAIT_TIMEOUT);
  EXPECT(CloseHandle(event) == TRUE);
  Sleep(0);
  EXPECT(foreign_calls == 0);
  return 0;
}
