// SPDX-License-Identifier: Apache-2.0
/* Stands for another library that brings functions of the same names (winpr, Wine's, an ODBC manager). */
int CloseHandle(void* handle);
unsigned GetLastError(void);
void SetLastError(unsigned code);
int ReadFile(void* handle, void* buffer, unsigned length, unsigned* moved, void* overlapped);
int WriteFile(void* handle, const void* buffer, unsigned length, unsigned* moved, void* overlapped);
int FlushFileBuffers(void* handle);

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
