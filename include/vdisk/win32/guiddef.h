// SPDX-License-Identifier: Apache-2.0
/* GUID, its comparison, and DEFINE_GUID.
 *
 * DEFINE_GUID lies outside the include guard on purpose: `#include <initguid.h>` after `#include <windows.h>`
 * must turn it from a declaration into a definition, as it does on Windows (virtdisk-api.md 9.3). */
#ifndef VDISK_WIN32_GUIDDEF_H_
#define VDISK_WIN32_GUIDDEF_H_

#include <stdint.h>
#include <string.h>

#ifndef EXTERN_C
#ifdef __cplusplus
#define EXTERN_C extern "C"
#else
#define EXTERN_C extern
#endif
#endif

#ifndef GUID_DEFINED
#define GUID_DEFINED
/* The first three fields are integers of the host; on disk they are little-endian. */
typedef struct _GUID {
  uint32_t Data1;
  uint16_t Data2;
  uint16_t Data3;
  uint8_t Data4[8];
} GUID;
#endif

typedef GUID* LPGUID;
typedef const GUID* LPCGUID;
typedef GUID IID, *LPIID;
typedef GUID CLSID, *LPCLSID;
typedef GUID FMTID, *LPFMTID;

#define IID_NULL GUID_NULL
#define CLSID_NULL GUID_NULL

#ifdef __cplusplus

#define REFGUID const GUID&
#define REFIID const IID&
#define REFCLSID const CLSID&

inline int IsEqualGUID(REFGUID a, REFGUID b) { return !memcmp(&a, &b, sizeof(GUID)); }
inline int InlineIsEqualGUID(REFGUID a, REFGUID b) { return !memcmp(&a, &b, sizeof(GUID)); }

/* Windows' own switch for clients that bring comparison operators of their own. */
#ifndef _NO_SYS_GUID_OPERATOR_EQ_
inline bool operator==(REFGUID a, REFGUID b) { return IsEqualGUID(a, b) != 0; }
inline bool operator!=(REFGUID a, REFGUID b) { return IsEqualGUID(a, b) == 0; }
#endif

#else

#define REFGUID const GUID*
#define REFIID const IID*
#define REFCLSID const CLSID*

#define IsEqualGUID(a, b) (!memcmp((a), (b), sizeof(GUID)))
#define InlineIsEqualGUID(a, b) IsEqualGUID(a, b)

#endif

#define IsEqualIID(a, b) IsEqualGUID(a, b)
#define IsEqualCLSID(a, b) IsEqualGUID(a, b)

#endif

#undef DEFINE_GUID
#ifdef INITGUID
/* Weak stands in for __declspec(selectany): any number of units may define the same GUID. Declared first and
 * then defined, because a definition that itself says `extern` earns a warning. */
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
  EXTERN_C const GUID name __attribute__((__weak__));                \
  const GUID name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#else
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) EXTERN_C const GUID name
#endif
