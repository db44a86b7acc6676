// SPDX-License-Identifier: Apache-2.0
/* Bounded lengths and copies. Each count includes the terminating zero; Cb counts bytes, Cch characters. */
#ifndef VDISK_WIN32_STRSAFE_H_
#define VDISK_WIN32_STRSAFE_H_

#include "vdisk_crt.h"
#include "winerror.h"
#include "winnt.h"

#define STRSAFE_MAX_CCH 2147483647
#define STRSAFE_E_INSUFFICIENT_BUFFER ((HRESULT)0x8007007A)
#define STRSAFE_E_INVALID_PARAMETER ((HRESULT)0x80070057)
#define STRSAFE_E_END_OF_FILE ((HRESULT)0x80070026)

/* Length of a string that must end within cchMax characters, without its zero; S_OK, or
 * STRSAFE_E_INVALID_PARAMETER with *pcchLength 0. pcchLength may be NULL. */
VDISK_WIN32_INLINE HRESULT StringCchLengthW(LPCWSTR psz, size_t cchMax, size_t* pcchLength) {
  size_t length = 0;
  if (pcchLength != NULL) *pcchLength = 0;
  if (psz == NULL || cchMax > STRSAFE_MAX_CCH) return STRSAFE_E_INVALID_PARAMETER;
  while (length < cchMax && psz[length] != 0) ++length;
  if (length == cchMax) return STRSAFE_E_INVALID_PARAMETER;
  if (pcchLength != NULL) *pcchLength = length;
  return S_OK;
}

/* The same in bytes. */
VDISK_WIN32_INLINE HRESULT StringCbLengthW(LPCWSTR psz, size_t cbMax, size_t* pcbLength) {
  size_t length = 0;
  const HRESULT result = StringCchLengthW(psz, cbMax / sizeof(WCHAR), &length);
  if (pcbLength != NULL) *pcbLength = length * sizeof(WCHAR);
  return result;
}

/* Copies as much as fits and always terminates; STRSAFE_E_INSUFFICIENT_BUFFER if that was not all. */
VDISK_WIN32_INLINE HRESULT StringCchCopyW(LPWSTR pszDest, size_t cchDest, LPCWSTR pszSrc) {
  size_t i = 0;
  if (pszDest == NULL || pszSrc == NULL || cchDest == 0 || cchDest > STRSAFE_MAX_CCH) {
    return STRSAFE_E_INVALID_PARAMETER;
  }
  while (i + 1 < cchDest && pszSrc[i] != 0) {
    pszDest[i] = pszSrc[i];
    ++i;
  }
  pszDest[i] = 0;
  return pszSrc[i] == 0 ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}

/* The same in bytes. */
VDISK_WIN32_INLINE HRESULT StringCbCopyW(LPWSTR pszDest, size_t cbDest, LPCWSTR pszSrc) {
  return StringCchCopyW(pszDest, cbDest / sizeof(WCHAR), pszSrc);
}

#ifdef VDISK_WIN32_WIDE_TCHAR
#define StringCchLength StringCchLengthW
#define StringCbLength StringCbLengthW
#define StringCchCopy StringCchCopyW
#define StringCbCopy StringCbCopyW
#endif

#endif
