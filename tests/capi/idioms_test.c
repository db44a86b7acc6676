// SPDX-License-Identifier: Apache-2.0
/* How Windows sources write C against virtdisk.h: flags by integer arithmetic, names that a client defines
 * for older headers, a function pointer of the API's type, designated initialisers. */
#include <initguid.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <virtdisk.h>
#include <windows.h>

/* A client's stop-gap for headers that lack these, after the include. */
#ifndef VIRTUAL_STORAGE_TYPE_DEVICE_VHDX
#define VIRTUAL_STORAGE_TYPE_DEVICE_VHDX 3
#endif
#define VIRTUAL_STORAGE_TYPE_DEVICE_FFU 99
#define CREATE_VIRTUAL_DISK_VERSION_2 2
#define CREATE_VIRTUAL_DISK_FLAG_CREATE_BACKING_STORAGE 8

typedef struct {
  CREATE_VIRTUAL_DISK_VERSION Version;
  struct {
    GUID UniqueId;
    ULONGLONG MaximumSize;
  } Version2;
} STOPGAP_PARAMETERS;

static DWORD(WINAPI* pOpenVirtualDisk)(PVIRTUAL_STORAGE_TYPE, PCWSTR, VIRTUAL_DISK_ACCESS_MASK,
                                       OPEN_VIRTUAL_DISK_FLAG, POPEN_VIRTUAL_DISK_PARAMETERS, PHANDLE);
static DWORD(WINAPI* pGetStorageDependencyInformation)(HANDLE, GET_STORAGE_DEPENDENCY_FLAG, ULONG,
                                                       STORAGE_DEPENDENCY_INFO*, ULONG*);

static DWORD copy_disk(LPCWSTR source, LPCWSTR target, DWORD extra) {
  VIRTUAL_STORAGE_TYPE type = {VIRTUAL_STORAGE_TYPE_DEVICE_VHD, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT};
  STOPGAP_PARAMETERS parameters = {0};
  OVERLAPPED overlapped = {0};
  VIRTUAL_DISK_PROGRESS progress = {0};
  HANDLE handle = INVALID_HANDLE_VALUE;
  ULONG flags = CREATE_VIRTUAL_DISK_FLAG_CREATE_BACKING_STORAGE | extra;
  DWORD r;
  (void)source;
  parameters.Version = CREATE_VIRTUAL_DISK_VERSION_2;
  r = CreateVirtualDisk(&type, target, VIRTUAL_DISK_ACCESS_NONE, NULL, flags, 0,
                        (PCREATE_VIRTUAL_DISK_PARAMETERS)&parameters, &overlapped, &handle);
  if (r == ERROR_IO_PENDING) {
    r = GetVirtualDiskOperationProgress(handle, &overlapped, &progress);
    if (r == ERROR_SUCCESS && progress.OperationStatus == ERROR_IO_PENDING) {
      r = (DWORD)(100 * progress.CurrentValue / progress.CompletionValue);
    }
  }
  if ((handle != INVALID_HANDLE_VALUE) && (handle != NULL)) CloseHandle(handle);
  return r;
}

static int calls = 0;
static DWORD counted_call(void) {
  ++calls;
  return ERROR_FILE_NOT_FOUND;
}

#define EXPECT(condition) \
  if (!(condition)) return printf("line %d: %s\n", __LINE__, #condition), 1

int main(int argc, char* argv[]) {
  const VIRTUAL_STORAGE_TYPE by_name = {.DeviceId = VIRTUAL_STORAGE_TYPE_DEVICE_FFU};
  OPEN_VIRTUAL_DISK_PARAMETERS open = {.Version = OPEN_VIRTUAL_DISK_VERSION_2};
  ATTACH_VIRTUAL_DISK_FLAG flags =
      ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY | ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER;
  static const WCHAR vdisk[] = L"test.vhd";
  (void)argv;
  open.Version2.ReadOnly = TRUE;
  flags |= ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME;
  flags &= ~ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY;
  EXPECT(flags == 6 && by_name.DeviceId == 99 && open.Version2.GetInfoOnly == FALSE);
  EXPECT(IsEqualGUID(&by_name.VendorId, &VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN));
  EXPECT(sizeof(vdisk) == 9 * sizeof(WCHAR));

  pOpenVirtualDisk = &OpenVirtualDisk;
  pGetStorageDependencyInformation = GetStorageDependencyInformation;
  if (argc > 1000) { /* never: needs parts that may not be built yet */
    HANDLE handle;
    return (int)(pOpenVirtualDisk(NULL, vdisk, 0xffffff, OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS, NULL, &handle) +
                 pGetStorageDependencyInformation(NULL, GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE, 0, NULL, 0) +
                 copy_disk(vdisk, vdisk, 1));
  }

  /* A call inside the conversion happens once. */
  EXPECT(HRESULT_FROM_WIN32(counted_call()) == (HRESULT)0x80070002 && calls == 1);

  /* As a case label, which needs a constant. */
  switch (HRESULT_FROM_WIN32(ERROR_FILE_CORRUPT)) {
    case __HRESULT_FROM_WIN32(ERROR_FILE_CORRUPT):
      return 0;
    default:
      return 1;
  }
}
