// SPDX-License-Identifier: Apache-2.0
/* The basic types of Windows sources.
 *
 * DWORD, ULONG and LONG are 32 bits as on Windows and therefore `int` here, where `long` has 64. */
#ifndef VDISK_WIN32_MINWINDEF_H_
#define VDISK_WIN32_MINWINDEF_H_

#include <stddef.h>
#include <string.h>

#include "basetsd.h"
#include "guiddef.h"
#include "sal.h"
#include "sdkddkver.h"
#include "winapifamily.h"

/* Calling conventions differ on 32-bit Windows only. */
#ifndef _MSC_VER
#ifndef __stdcall
#define __stdcall
#endif
#ifndef __cdecl
#define __cdecl
#endif
#ifndef __fastcall
#define __fastcall
#endif
#ifndef __int64
#define __int64 long long
#endif
#endif

#define WINAPI __stdcall
#define CALLBACK __stdcall
#define APIENTRY WINAPI
#define NTAPI __stdcall
#define STDMETHODCALLTYPE __stdcall
#define STDAPI EXTERN_C HRESULT STDMETHODCALLTYPE
#define FAR
#define NEAR
#define CONST const

#ifdef __cplusplus
#define FORCEINLINE inline __attribute__((__always_inline__))
#else
#define FORCEINLINE static __inline__ __attribute__((__always_inline__))
#endif

#define EXTERN_C_START VDISK_WIN32_EXTERN_C_BEGIN
#define EXTERN_C_END VDISK_WIN32_EXTERN_C_END
#ifdef __cplusplus
#define VDISK_WIN32_EXTERN_C_BEGIN extern "C" {
#define VDISK_WIN32_EXTERN_C_END }
#else
#define VDISK_WIN32_EXTERN_C_BEGIN
#define VDISK_WIN32_EXTERN_C_END
#endif

/* What the library exports. Not marked as nothrow: clang makes that part of the function's type. */
#ifndef VIRTDISK_API
#define VIRTDISK_API __attribute__((__visibility__("default")))
#endif

#define VOID void
typedef char CHAR, *PCHAR, *LPSTR, *PSTR;
typedef const char *LPCSTR, *PCSTR;
typedef unsigned char UCHAR, *PUCHAR;
typedef unsigned char BYTE, *PBYTE, *LPBYTE;
typedef unsigned char BOOLEAN, *PBOOLEAN;
typedef short SHORT, *PSHORT;
typedef unsigned short USHORT, *PUSHORT;
typedef unsigned short WORD, *PWORD, *LPWORD;
typedef int INT, *PINT, *LPINT;
typedef unsigned int UINT, *PUINT;
typedef int BOOL, *PBOOL, *LPBOOL;
typedef int LONG, *PLONG, *LPLONG;
typedef unsigned int ULONG, *PULONG;
typedef unsigned int DWORD, *PDWORD, *LPDWORD;
typedef float FLOAT;
typedef long long LONGLONG, *PLONGLONG;
typedef unsigned long long ULONGLONG, *PULONGLONG;
typedef unsigned long long DWORDLONG, *PDWORDLONG;
typedef void *PVOID, *LPVOID;
typedef const void *PCVOID, *LPCVOID;
typedef LONG HRESULT;

typedef void* HANDLE;
typedef HANDLE *PHANDLE, *LPHANDLE;
typedef HANDLE HLOCAL;
typedef HANDLE HGLOBAL;
typedef HANDLE HMODULE;
typedef HANDLE HINSTANCE;
typedef HANDLE HWND;

#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif
#ifndef MAX_PATH
#define MAX_PATH 260
#endif

/* The `min` and `max` macros are absent, with or without NOMINMAX: they break the C++ library. */

#define MAKEWORD(a, b) ((WORD)(((BYTE)(a)) | ((WORD)((BYTE)(b))) << 8))
#define MAKELONG(a, b) ((LONG)(((WORD)(a)) | ((DWORD)((WORD)(b))) << 16))
#define LOWORD(l) ((WORD)((DWORD)(l) & 0xFFFF))
#define HIWORD(l) ((WORD)((DWORD)(l) >> 16))
#define LOBYTE(w) ((BYTE)((WORD)(w) & 0xFF))
#define HIBYTE(w) ((BYTE)((WORD)(w) >> 8))

#endif
