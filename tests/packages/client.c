/* SPDX-License-Identifier: Apache-2.0
 *
 * A client of the C API as somebody would write it for Windows; compiles as C and as C++. Opens a file that is no
 * image and one that does not exist, and expects the codes that Windows' users see.
 * tidy: not built here (tests/packages_test.sh builds it against the installed packages) */
#include <windows.h>
#include <virtdisk.h>

#include <stdio.h>
#include <stdlib.h>

static DWORD open_image(const wchar_t* path) {
  VIRTUAL_STORAGE_TYPE type = {VIRTUAL_STORAGE_TYPE_DEVICE_VHD, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT};
  HANDLE handle = INVALID_HANDLE_VALUE;
  DWORD code = OpenVirtualDisk(&type, path, VIRTUAL_DISK_ACCESS_READ, OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle);
  if (code == ERROR_SUCCESS) {
    CloseHandle(handle);
  } else if (handle != INVALID_HANDLE_VALUE) {
    fprintf(stderr, "a failed open changed the handle\n");
    exit(1);
  }
  return code;
}

int main(int argc, char** argv) {
  wchar_t path[1024];
  DWORD code;
  if (argc != 2 || mbstowcs(path, argv[1], 1024) >= 1024) return 2;
  code = open_image(path);
  if (code == ERROR_SUCCESS || code == ERROR_CALL_NOT_IMPLEMENTED) {
    fprintf(stderr, "opening zeros as a VHD gave %lu\n", (unsigned long)code);
    return 1;
  }
  code = open_image(L"there-is-no-such-file.vhd");
  if (code != ERROR_FILE_NOT_FOUND) {
    fprintf(stderr, "opening a missing file gave %lu\n", (unsigned long)code);
    return 1;
  }
  return 0;
}
