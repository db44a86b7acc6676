// SPDX-License-Identifier: Apache-2.0
/* Functions of Microsoft's C library that virtual disk clients use and that the host's library can express.
 * wprintf is not among them: %s and %I64u mean other things here (virtdisk-api.md 9.3). */
#ifndef VDISK_WIN32_VDISK_CRT_H_
#define VDISK_WIN32_VDISK_CRT_H_

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#ifdef __cplusplus
#define VDISK_WIN32_INLINE inline
#else
#define VDISK_WIN32_INLINE static __inline__
#endif

/* Not wcscasecmp, which a strict C mode hides. Negative, zero or positive; case folds by the current locale,
 * as on Windows. */
VDISK_WIN32_INLINE int _wcsnicmp(const wchar_t* a, const wchar_t* b, size_t count) {
  for (; count != 0; ++a, ++b, --count) {
    const wint_t x = towlower((wint_t)*a);
    const wint_t y = towlower((wint_t)*b);
    if (x != y) return x < y ? -1 : 1;
    if (x == 0) return 0;
  }
  return 0;
}

VDISK_WIN32_INLINE int _wcsicmp(const wchar_t* a, const wchar_t* b) { return _wcsnicmp(a, b, (size_t)-1); }

/* Out of range gives the nearest limit, no digits give 0. */
VDISK_WIN32_INLINE long long _wtoi64(const wchar_t* text) { return wcstoll(text, NULL, 10); }

VDISK_WIN32_INLINE int _wtoi(const wchar_t* text) {
  const long long value = wcstoll(text, NULL, 10);
  return value > INT_MAX ? INT_MAX : value < INT_MIN ? INT_MIN : (int)value;
}

#endif
