// SPDX-License-Identifier: Apache-2.0
/* File name extensions. */
#ifndef VDISK_WIN32_SHLWAPI_H_
#define VDISK_WIN32_SHLWAPI_H_

#include "vdisk_crt.h"
#include "winnt.h"

/* Points at the dot of the last path component's extension, or at the terminating zero if it has none; NULL
 * for NULL. A blank ends an extension, as on Windows; '/' separates components too, as it does here. */
VDISK_WIN32_INLINE LPWSTR PathFindExtensionW(LPCWSTR pszPath) {
  LPCWSTR dot = NULL;
  if (pszPath == NULL) return NULL;
  for (; *pszPath != 0; ++pszPath) {
    if (*pszPath == L'.') {
      dot = pszPath;
    } else if (*pszPath == L'\\' || *pszPath == L'/' || *pszPath == L' ') {
      dot = NULL;
    }
  }
  return (LPWSTR)(dot != NULL ? dot : pszPath);
}

#ifdef VDISK_WIN32_WIDE_TCHAR
#define PathFindExtension PathFindExtensionW
#endif

#endif
