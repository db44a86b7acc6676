// SPDX-License-Identifier: Apache-2.0
/* Wide characters, large integers, access rights, file attributes and the flag-enum operators. */
#ifndef VDISK_WIN32_WINNT_H_
#define VDISK_WIN32_WINNT_H_

#include <wchar.h>

#include "minwindef.h"

/* WCHAR is wchar_t, four bytes here and two on Windows, so that L"..." literals and the C library's wide
 * functions fit it. A size in bytes therefore doubles; sources that say sizeof(WCHAR) do not notice
 * (virtdisk-api.md 9.3). */
typedef wchar_t WCHAR, *PWCHAR, *LPWCH, *PWCH, *LPWSTR, *PWSTR, *NWPSTR;
typedef const wchar_t *LPCWSTR, *PCWSTR, *LPCWCH, *PCWCH;
typedef WCHAR* PZZWSTR;
typedef const WCHAR* PCZZWSTR;

/* TCHAR is wide whether or not UNICODE is defined, unless the project asks for the multi-byte character set
 * (_MBCS), as project settings on Windows do: the whole of virtdisk.h is wide. */
#if defined(_MBCS) && !defined(UNICODE) && !defined(_UNICODE)
typedef char TCHAR, *PTCHAR;
typedef LPSTR LPTSTR, PTSTR;
typedef LPCSTR LPCTSTR, PCTSTR;
#define __TEXT(quote) quote
#else
#define VDISK_WIN32_WIDE_TCHAR 1
typedef WCHAR TCHAR, *PTCHAR;
typedef LPWSTR LPTSTR, PTSTR;
typedef LPCWSTR LPCTSTR, PCTSTR;
#define __TEXT(quote) L##quote
#endif
#define TEXT(quote) __TEXT(quote)

typedef LONG NTSTATUS;
typedef DWORD ACCESS_MASK, *PACCESS_MASK;
typedef PVOID PSECURITY_DESCRIPTOR;
typedef PVOID PSID;
typedef DWORD SECURITY_INFORMATION, *PSECURITY_INFORMATION;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* unnamed members, here and on Windows */

typedef union _LARGE_INTEGER {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  struct {
    LONG HighPart;
    DWORD LowPart;
  };
  struct {
    LONG HighPart;
    DWORD LowPart;
  } u;
#else
  struct {
    DWORD LowPart;
    LONG HighPart;
  };
  struct {
    DWORD LowPart;
    LONG HighPart;
  } u;
#endif
  LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef union _ULARGE_INTEGER {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  struct {
    DWORD HighPart;
    DWORD LowPart;
  };
  struct {
    DWORD HighPart;
    DWORD LowPart;
  } u;
#else
  struct {
    DWORD LowPart;
    DWORD HighPart;
  };
  struct {
    DWORD LowPart;
    DWORD HighPart;
  } u;
#endif
  ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

#pragma GCC diagnostic pop

/* Access rights and sharing. */
#define READ_CONTROL 0x00020000
#define WRITE_DAC 0x00040000
#define WRITE_OWNER 0x00080000
#define SYNCHRONIZE 0x00100000
#define STANDARD_RIGHTS_REQUIRED 0x000F0000
#define STANDARD_RIGHTS_ALL 0x001F0000
#define MAXIMUM_ALLOWED 0x02000000
#define GENERIC_READ 0x80000000U
#define GENERIC_WRITE 0x40000000
#define GENERIC_EXECUTE 0x20000000
#define GENERIC_ALL 0x10000000
#define FILE_READ_DATA 0x0001
#define FILE_WRITE_DATA 0x0002
#define FILE_APPEND_DATA 0x0004
#define FILE_READ_ATTRIBUTES 0x0080
#define FILE_WRITE_ATTRIBUTES 0x0100
#define FILE_SHARE_READ 0x00000001
#define FILE_SHARE_WRITE 0x00000002
#define FILE_SHARE_DELETE 0x00000004

#define FILE_ATTRIBUTE_READONLY 0x00000001
#define FILE_ATTRIBUTE_HIDDEN 0x00000002
#define FILE_ATTRIBUTE_SYSTEM 0x00000004
#define FILE_ATTRIBUTE_DIRECTORY 0x00000010
#define FILE_ATTRIBUTE_ARCHIVE 0x00000020
#define FILE_ATTRIBUTE_DEVICE 0x00000040
#define FILE_ATTRIBUTE_NORMAL 0x00000080
#define FILE_ATTRIBUTE_TEMPORARY 0x00000100
#define FILE_ATTRIBUTE_SPARSE_FILE 0x00000200
#define FILE_ATTRIBUTE_REPARSE_POINT 0x00000400
#define FILE_ATTRIBUTE_COMPRESSED 0x00000800
#define FILE_ATTRIBUTE_OFFLINE 0x00001000
#define FILE_ATTRIBUTE_ENCRYPTED 0x00004000

#define SECURITY_DESCRIPTOR_REVISION 1
#define SE_MANAGE_VOLUME_NAME TEXT("SeManageVolumePrivilege")
#define SE_BACKUP_NAME TEXT("SeBackupPrivilege")
#define SE_RESTORE_NAME TEXT("SeRestorePrivilege")

#define ANYSIZE_ARRAY 1
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define RTL_FIELD_SIZE(type, field) (sizeof(((type*)0)->field))
#define RTL_SIZEOF_THROUGH_FIELD(type, field) (offsetof(type, field) + RTL_FIELD_SIZE(type, field))
#define CONTAINING_RECORD(address, type, field) ((type*)((PCHAR)(address) - offsetof(type, field)))
#define RTL_NUMBER_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ARRAYSIZE(a) RTL_NUMBER_OF(a)
#ifndef _countof
#define _countof(a) RTL_NUMBER_OF(a)
#endif
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define DBG_UNREFERENCED_PARAMETER(p) ((void)(p))

#define RtlZeroMemory(destination, length) memset((destination), 0, (length))
#define RtlFillMemory(destination, length, fill) memset((destination), (fill), (length))
#define RtlCopyMemory(destination, source, length) memcpy((destination), (source), (length))
#define RtlMoveMemory(destination, source, length) memmove((destination), (source), (length))
#define RtlEqualMemory(destination, source, length) (!memcmp((destination), (source), (length)))

/* | & ^ ~ and their assignments for an enum of flags, which client C++ relies on (virtdisk-api.md 4). C needs
 * nothing. May follow an enum inside extern "C". */
#ifdef __cplusplus
/* clang-format off */
#define DEFINE_ENUM_FLAG_OPERATORS(E)                                                                          \
  extern "C++" {                                                                                               \
  inline constexpr E operator|(E a, E b) { return E((__underlying_type(E))a | (__underlying_type(E))b); }      \
  inline constexpr E operator&(E a, E b) { return E((__underlying_type(E))a & (__underlying_type(E))b); }      \
  inline constexpr E operator^(E a, E b) { return E((__underlying_type(E))a ^ (__underlying_type(E))b); }      \
  inline constexpr E operator~(E a) { return E(~(__underlying_type(E))a); }                                    \
  inline E &operator|=(E &a, E b) { return a = a | b; }                                                        \
  inline E &operator&=(E &a, E b) { return a = a & b; }                                                        \
  inline E &operator^=(E &a, E b) { return a = a ^ b; }                                                        \
  }
/* clang-format on */
#else
#define DEFINE_ENUM_FLAG_OPERATORS(E)
#endif

#endif
