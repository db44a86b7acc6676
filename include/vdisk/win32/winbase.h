// SPDX-License-Identifier: Apache-2.0
/* Constants, structures and functions of handles, files, events and waiting, as far as the library carries
 * them.
 *
 * A Windows function that this library does not carry is not declared: a call to it fails to compile instead
 * of failing to link or to work. */
#ifndef VDISK_WIN32_WINBASE_H_
#define VDISK_WIN32_WINBASE_H_

#include "winerror.h"
#include "winnt.h"

#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR) - 1)
#define INVALID_FILE_SIZE ((DWORD)0xFFFFFFFF)
#define INVALID_SET_FILE_POINTER ((DWORD) - 1)
#define INVALID_FILE_ATTRIBUTES ((DWORD) - 1)

#define CREATE_NEW 1
#define CREATE_ALWAYS 2
#define OPEN_EXISTING 3
#define OPEN_ALWAYS 4
#define TRUNCATE_EXISTING 5

#define FILE_BEGIN 0
#define FILE_CURRENT 1
#define FILE_END 2

#define FILE_FLAG_WRITE_THROUGH 0x80000000U
#define FILE_FLAG_OVERLAPPED 0x40000000
#define FILE_FLAG_NO_BUFFERING 0x20000000
#define FILE_FLAG_RANDOM_ACCESS 0x10000000
#define FILE_FLAG_SEQUENTIAL_SCAN 0x08000000
#define FILE_FLAG_DELETE_ON_CLOSE 0x04000000
#define FILE_FLAG_BACKUP_SEMANTICS 0x02000000
#define FILE_FLAG_OPEN_REPARSE_POINT 0x00200000

#define INFINITE 0xFFFFFFFFU
#define MAXIMUM_WAIT_OBJECTS 64
#define WAIT_OBJECT_0 0
#define WAIT_ABANDONED 0x00000080
#define WAIT_FAILED ((DWORD)0xFFFFFFFF)
#define WAIT_IO_COMPLETION 0x000000C0
#define STATUS_PENDING ((DWORD)0x00000103)
#define STILL_ACTIVE STATUS_PENDING

#define HasOverlappedIoCompleted(overlapped) (((DWORD)(overlapped)->Internal) != STATUS_PENDING)

#define ZeroMemory RtlZeroMemory
#define FillMemory RtlFillMemory
#define CopyMemory RtlCopyMemory
#define MoveMemory RtlMoveMemory

typedef struct _SECURITY_ATTRIBUTES {
  DWORD nLength;
  LPVOID lpSecurityDescriptor;
  BOOL bInheritHandle;
} SECURITY_ATTRIBUTES, *PSECURITY_ATTRIBUTES, *LPSECURITY_ATTRIBUTES;

typedef struct _FILETIME {
  DWORD dwLowDateTime;
  DWORD dwHighDateTime;
} FILETIME, *PFILETIME, *LPFILETIME;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* unnamed members, here and on Windows */

/* One asynchronous operation. It and the event belong to the caller and must outlive the operation. */
typedef struct _OVERLAPPED {
  ULONG_PTR Internal;
  ULONG_PTR InternalHigh;
  union {
    struct {
      DWORD Offset;
      DWORD OffsetHigh;
    };
    PVOID Pointer;
  };
  HANDLE hEvent;
} OVERLAPPED, *LPOVERLAPPED;

#pragma GCC diagnostic pop

/* These bind to names of the library's own, by asm label, because other libraries on Linux also carry a
 * CloseHandle or ReadFile and the two must not take each other's calls. */
#ifdef __cplusplus
extern "C" {
#endif

/* Closes a handle that this library returned. A virtual disk that this process attached without
 * ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME is detached with the process's last handle to it.
 *
 * Returns TRUE, or FALSE with GetLastError() == ERROR_INVALID_HANDLE for NULL, INVALID_HANDLE_VALUE, a handle
 * closed before and any other value: harmless in every case (virtdisk-api.md 1.12, T23). Any thread, but no
 * other call may still use the handle. */
VIRTDISK_API BOOL WINAPI CloseHandle(_In_ HANDLE hObject) __asm__("VirtdiskCloseHandle");

/* The calling thread's last error. The functions of this header set it on failure; the functions of
 * virtdisk.h return their code instead (virtdisk-api.md 3). */
VIRTDISK_API DWORD WINAPI GetLastError(void) __asm__("VirtdiskGetLastError");

/* Sets the calling thread's last error. */
VIRTDISK_API void WINAPI SetLastError(_In_ DWORD dwErrCode) __asm__("VirtdiskSetLastError");

/* Reads from a virtual disk that is attached through this handle with ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST
 * (virtdisk-api.md 3.3): whole sectors, from the offset in lpOverlapped, which is required. Ends before it
 * returns, with the bytes read in *lpNumberOfBytesRead, if given, and in lpOverlapped; if hEvent is an event,
 * it is reset at the start, and set after success. What begins inside the disk and reaches past its end is
 * cut off there.
 *
 *   TRUE, or FALSE with GetLastError():
 *   ERROR_INVALID_HANDLE (6): not a virtual disk handle, or hEvent neither NULL nor an event
 *   ERROR_BAD_COMMAND (22): not attached in that way
 *   ERROR_INVALID_PARAMETER (87): lpBuffer or lpOverlapped NULL; offset or length not whole sectors
 *   ERROR_HANDLE_EOF (38): the offset lies at or behind the end
 *   and codes of reading a corrupt image (virtdisk.h)
 *
 * Any thread, and any number at once. */
VIRTDISK_API BOOL WINAPI ReadFile(_In_ HANDLE hFile, LPVOID lpBuffer, _In_ DWORD nNumberOfBytesToRead,
                                  LPDWORD lpNumberOfBytesRead,
                                  LPOVERLAPPED lpOverlapped) __asm__("VirtdiskReadFile");

/* Writes in the same way; also cut off at the end. Unless the handle was opened with
 * OPEN_VIRTUAL_DISK_FLAG_CACHED_IO or _NO_WRITE_HARDENING, what was written is on stable storage when the
 * call returns. Codes as ReadFile, and
 *
 *   ERROR_WRITE_PROTECT (19): attached with ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY
 *   ERROR_DISK_FULL (112): the host has no room for the image to grow */
VIRTDISK_API BOOL WINAPI WriteFile(_In_ HANDLE hFile, LPCVOID lpBuffer, _In_ DWORD nNumberOfBytesToWrite,
                                   LPDWORD lpNumberOfBytesWritten,
                                   LPOVERLAPPED lpOverlapped) __asm__("VirtdiskWriteFile");

/* Brings to stable storage what was written through the handle. Codes 6 and 22 as ReadFile. */
VIRTDISK_API BOOL WINAPI FlushFileBuffers(_In_ HANDLE hFile) __asm__("VirtdiskFlushFileBuffers");

/* The result of an operation that was given lpOverlapped (ReadFile, WriteFile, AttachVirtualDisk …): TRUE, or
 * FALSE with the operation's code as GetLastError(); in both cases with the bytes moved in
 * *lpNumberOfBytesTransferred. Every operation ends before its call returns, so that bWait matters only where
 * another thread asks. Looks at hFile only while the operation runs.
 *
 *   ERROR_INVALID_PARAMETER (87): lpOverlapped or lpNumberOfBytesTransferred NULL
 *   ERROR_INVALID_HANDLE (6): not a virtual disk handle
 *   ERROR_IO_INCOMPLETE (996): not ended, and bWait FALSE or no operation of hFile */
VIRTDISK_API BOOL WINAPI GetOverlappedResult(_In_ HANDLE hFile, _In_ LPOVERLAPPED lpOverlapped,
                                             _Out_ LPDWORD lpNumberOfBytesTransferred,
                                             _In_ BOOL bWait) __asm__("VirtdiskGetOverlappedResult");

/* Would cancel the operations that the calling thread has started on the handle. All of them have ended by
 * the time it can call: TRUE, or FALSE with ERROR_INVALID_HANDLE (6) when it is not a virtual disk handle. */
VIRTDISK_API BOOL WINAPI CancelIo(_In_ HANDLE hFile) __asm__("VirtdiskCancelIo");

/* The same for all threads and, if lpOverlapped is given, for that operation alone. None can be cancelled:
 * FALSE with ERROR_NOT_FOUND (1168), or ERROR_INVALID_HANDLE (6). */
VIRTDISK_API BOOL WINAPI CancelIoEx(_In_ HANDLE hFile,
                                    _In_opt_ LPOVERLAPPED lpOverlapped) __asm__("VirtdiskCancelIoEx");

/* An event of this process: signalled from SetEvent() until ResetEvent(), and with bManualReset FALSE only
 * until the first wait that it ends. lpEventAttributes has no meaning here. Close it with CloseHandle().
 *
 * Returns the handle with GetLastError() == 0, or NULL with
 *   ERROR_NOT_SUPPORTED (50): lpName is neither NULL nor empty: events have no names here */
VIRTDISK_API HANDLE WINAPI CreateEventA(_In_opt_ LPSECURITY_ATTRIBUTES lpEventAttributes,
                                        _In_ BOOL bManualReset, _In_ BOOL bInitialState,
                                        _In_opt_ LPCSTR lpName) __asm__("VirtdiskCreateEventA");
VIRTDISK_API HANDLE WINAPI CreateEventW(_In_opt_ LPSECURITY_ATTRIBUTES lpEventAttributes,
                                        _In_ BOOL bManualReset, _In_ BOOL bInitialState,
                                        _In_opt_ LPCWSTR lpName) __asm__("VirtdiskCreateEventW");
#ifdef VDISK_WIN32_WIDE_TCHAR
#define CreateEvent CreateEventW
#else
#define CreateEvent CreateEventA
#endif

/* TRUE, or FALSE with ERROR_INVALID_HANDLE (6): not an event. SetEvent() ends every wait for the event that
 * is under way, of an event with bManualReset FALSE the oldest one. */
VIRTDISK_API BOOL WINAPI SetEvent(_In_ HANDLE hEvent) __asm__("VirtdiskSetEvent");
VIRTDISK_API BOOL WINAPI ResetEvent(_In_ HANDLE hEvent) __asm__("VirtdiskResetEvent");

/* Waits until an event is signalled, or no operation that was given an OVERLAPPED runs on a virtual disk.
 * dwMilliseconds may be 0, to look only, or INFINITE. WaitForMultipleObjects() waits for one of up to
 * MAXIMUM_WAIT_OBJECTS handles or, with bWaitAll, until all are signalled at the same time; before that it
 * takes no auto-reset event.
 *
 *   WAIT_OBJECT_0: signalled; of several, WAIT_OBJECT_0 and the lowest index of a signalled one
 *   WAIT_TIMEOUT (258): the time is over
 *   WAIT_FAILED: with GetLastError()
 *       ERROR_INVALID_HANDLE (6): neither an event nor a virtual disk
 *       ERROR_INVALID_PARAMETER (87): no handle, too many, or one twice with bWaitAll */
VIRTDISK_API DWORD WINAPI
WaitForSingleObject(_In_ HANDLE hHandle, _In_ DWORD dwMilliseconds) __asm__("VirtdiskWaitForSingleObject");
VIRTDISK_API DWORD WINAPI
WaitForMultipleObjects(_In_ DWORD nCount, const HANDLE* lpHandles, _In_ BOOL bWaitAll,
                       _In_ DWORD dwMilliseconds) __asm__("VirtdiskWaitForMultipleObjects");

/* Stops the calling thread for that time; INFINITE for ever. */
VIRTDISK_API void WINAPI Sleep(_In_ DWORD dwMilliseconds) __asm__("VirtdiskSleep");

#ifdef __cplusplus
}
#endif

#endif
