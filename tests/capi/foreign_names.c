// SPDX-License-Identifier: Apache-2.0
/* Stands for another library that brings functions of the same names (winpr, Wine's, an ODBC manager). */
#include <stddef.h>

int CloseHandle(void* handle);
unsigned GetLastError(void);
void SetLastError(unsigned code);
int ReadFile(void* handle, void* buffer, unsigned length, unsigned* moved, void* overlapped);
int WriteFile(void* handle, const void* buffer, unsigned length, unsigned* moved, void* overlapped);
int FlushFileBuffers(void* handle);
void* CreateEventA(void* security, int manual, int set, const char* name);
void* CreateEventW(void* security, int manual, int set, const void* name);
int SetEvent(void* event);
int ResetEvent(void* event);
unsigned WaitForSingleObject(void* handle, unsigned milliseconds);
unsigned WaitForMultipleObjects(unsigned count, void* const* handles, int all, unsigned milliseconds);
int GetOverlappedResult(void* handle, void* overlapped, unsigned* moved, int wait);
int CancelIo(void* handle);
int CancelIoEx(void* handle, void* overlapped);
void Sleep(unsigned milliseconds);

int foreign_calls = 0;

int CloseHandle(void* handle) {
  (void)handle;
  ++foreign_calls;
  return 42;
}
unsigned GetLastError(void) {
  ++foreign_calls;
  return 4242;
}
void SetLastError(unsigned code) {
  (void)code;
  ++foreign_calls;
}
int ReadFile(void* handle, void* buffer, unsigned length, unsigned* moved, void* overlapped) {
  (void)handle, (void)buffer, (void)length, (void)moved, (void)overlapped;
  ++foreign_calls;
  return 42;
}
int WriteFile(void* handle, const void* buffer, unsigned length, unsigned* moved, void* overlapped) {
  (void)handle, (void)buffer, (void)length, (void)moved, (void)overlapped;
  ++foreign_calls;
  return 42;
}
int FlushFileBuffers(void* handle) {
  (void)handle;
  ++foreign_calls;
  return 42;
}
void* CreateEventA(void* security, int manual, int set, const char* name) {
  (void)security, (void)manual, (void)set, (void)name;
  ++foreign_calls;
  return NULL;
}
void* CreateEventW(void* security, int manual, int set, const void* name) {
  (void)security, (void)manual, (void)set, (void)name;
  ++foreign_calls;
  return NULL;
}
int SetEvent(void* event) {
  (void)event;
  ++foreign_calls;
  return 42;
}
int ResetEvent(void* event) {
  (void)event;
  ++foreign_calls;
  return 42;
}
unsigned WaitForSingleObject(void* handle, unsigned milliseconds) {
  (void)handle, (void)milliseconds;
  ++foreign_calls;
  return 42;
}
unsigned WaitForMultipleObjects(unsigned count, void* const* handles, int all, unsigned milliseconds) {
  (void)count, (void)handles, (void)all, (void)milliseconds;
  ++foreign_calls;
  return 42;
}
int GetOverlappedResult(void* handle, void* overlapped, unsigned* moved, int wait) {
  (void)handle, (void)overlapped, (void)moved, (void)wait;
  ++foreign_calls;
  return 42;
}
int CancelIo(void* handle) {
  (void)handle;
  ++foreign_calls;
  return 42;
}
int CancelIoEx(void* handle, void* overlapped) {
  (void)handle, (void)overlapped;
  ++foreign_calls;
  return 42;
}
void Sleep(unsigned milliseconds) {
  (void)milliseconds;
  ++foreign_calls;
}
