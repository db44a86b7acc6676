// SPDX-License-Identifier: Apache-2.0
/* Stands for another library that brings functions of the same names (winpr, Wine's, an ODBC manager). */
int CloseHandle(void* handle);
unsigned GetLastError(void);
void SetLastError(unsigned code);

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
