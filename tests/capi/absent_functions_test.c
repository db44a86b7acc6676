// SPDX-License-Identifier: Apache-2.0
/* Windows functions that the library does not carry are not declared and not macros, so that a call to one
 * fails to compile. Take a name off this list when the library carries it. */
#include <objbase.h>
#include <sddl.h>
#include <shlwapi.h>
#include <virtdisk.h>
#include <windows.h>

enum absent {
  CoCreateGuid,
  ConvertStringSecurityDescriptorToSecurityDescriptor,
  ConvertStringSecurityDescriptorToSecurityDescriptorW,
  CreateFile,
  CreateFileA,
  CreateFileW,
  DeleteFileW,
  DeviceIoControl,
  LocalFree,
  SetVolumeMountPoint,
  SetVolumeMountPointW,
  UuidCreate
};

int main(void) { return 0; }
