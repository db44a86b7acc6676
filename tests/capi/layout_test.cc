// SPDX-License-Identifier: Apache-2.0
/* Every value, the whole layout and every prototype, as C++ sees them, and that the types stay plain data. It
 * passes by compiling. */
#include <initguid.h>
#include <sddl.h>
#include <virtdisk.h>
#include <windows.h>

#include <cstddef>
#include <type_traits>

#define ALIGNOF(type) alignof(type)
#define CHECK(condition) static_assert(condition, #condition)
#pragma GCC diagnostic ignored "-Wpedantic" /* offsetof into arrays and nested members */
#include "layout_checks.inc"

#define CHECK_PLAIN(type)                                                                     \
  static_assert(std::is_trivial<type>::value && std::is_standard_layout<type>::value, #type); \
  static_assert(std::is_trivially_copyable<type>::value, #type)
CHECK_PLAIN(VIRTUAL_STORAGE_TYPE);
CHECK_PLAIN(OPEN_VIRTUAL_DISK_PARAMETERS);
CHECK_PLAIN(CREATE_VIRTUAL_DISK_PARAMETERS);
CHECK_PLAIN(ATTACH_VIRTUAL_DISK_PARAMETERS);
CHECK_PLAIN(STORAGE_DEPENDENCY_INFO);
CHECK_PLAIN(GET_VIRTUAL_DISK_INFO);
CHECK_PLAIN(SET_VIRTUAL_DISK_INFO);
CHECK_PLAIN(VIRTUAL_DISK_PROGRESS);
CHECK_PLAIN(MODIFY_VHDSET_PARAMETERS);
CHECK_PLAIN(RAW_SCSI_VIRTUAL_DISK_PARAMETERS);
CHECK_PLAIN(OVERLAPPED);
CHECK_PLAIN(LARGE_INTEGER);
CHECK_PLAIN(GUID);

/* As on Windows: an enum is an int, and the codes are DWORDs or, for shared disks, HRESULTs. */
CHECK((std::is_same<std::underlying_type<OPEN_VIRTUAL_DISK_FLAG>::type, int>::value));
CHECK((std::is_same<decltype(ERROR_VHD_INVALID_TYPE), DWORD>::value));
CHECK((std::is_same<decltype(ERROR_QUERY_STORAGE_ERROR), DWORD>::value));
CHECK((std::is_same<decltype(ERROR_VHD_SHARED), HRESULT>::value));
CHECK((std::is_same<decltype(ERROR_VHDSET_BACKING_STORAGE_NOT_FOUND), HRESULT>::value));

/* A constant in C++ by the function as well. */
CHECK(HRESULT_FROM_WIN32(ERROR_FILE_CORRUPT) == __HRESULT_FROM_WIN32(ERROR_FILE_CORRUPT));

#define PROTOTYPE(function, result, parameters) \
  CHECK((std::is_same<decltype(&function), result(*) parameters>::value));
#include "prototype_checks.inc"

int main() { return 0; }
