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
  SetLastError(ERROR_BUSY);
  EXPECT(GetLastError() == ERROR_BUSY);
  EXPECT(CloseHandle(NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  SetLastError(ERROR_SUCCESS);
  EXPECT(CloseHandle(INVALID_HANDLE_VALUE) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(ReadFile(NULL, NULL, 0, NULL, NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(WriteFile(NULL, NULL, 0, NULL, NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(FlushFileBuffers(NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  EXPECT(foreign_calls == 0);
  return 0;
}
