// SPDX-License-Identifier: Apache-2.0
/* How Windows sources write C++ against virtdisk.h (virtdisk-api.md 9): declarations, casts, flag arithmetic,
 * buffers. Passes by compiling and linking; main runs what needs no image. */
#include <Shlwapi.h>
#include <Windows.h>
#include <initguid.h>
#include <rpc.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strsafe.h>
#include <virtdisk.h>
#include <winioctl.h>

#include <memory>
#include <vector>

// A caller that lets the extension decide, picks versions by format, and jumps to one exit.
static DWORD AttachImage(_In_ LPCWSTR Path, _In_ BOOLEAN ReadOnly) {
  OPEN_VIRTUAL_DISK_PARAMETERS openParameters;
  ATTACH_VIRTUAL_DISK_PARAMETERS attachParameters;
  VIRTUAL_DISK_ACCESS_MASK accessMask;
  ATTACH_VIRTUAL_DISK_FLAG attachFlags;
  VIRTUAL_STORAGE_TYPE storageType;
  PSECURITY_DESCRIPTOR sd;
  LPCTSTR extension;
  HANDLE handle;
  DWORD opStatus;

  handle = INVALID_HANDLE_VALUE;
  sd = NULL;
  storageType.DeviceId = VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN;
  storageType.VendorId = VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN;
  memset(&openParameters, 0, sizeof(openParameters));

  extension = ::PathFindExtension(Path);
  if (extension != NULL && _wcsicmp(extension, L".iso") == 0) {
    if (ReadOnly != TRUE) {
      opStatus = ERROR_NOT_SUPPORTED;
      goto Cleanup;
    }
    openParameters.Version = OPEN_VIRTUAL_DISK_VERSION_1;
    accessMask = VIRTUAL_DISK_ACCESS_READ;
  } else {
    openParameters.Version = OPEN_VIRTUAL_DISK_VERSION_2;
    openParameters.Version2.GetInfoOnly = FALSE;
    accessMask = VIRTUAL_DISK_ACCESS_NONE;
  }

  opStatus = ::OpenVirtualDisk(&storageType, Path, accessMask, OPEN_VIRTUAL_DISK_FLAG_NONE, &openParameters,
                               &handle);
  if (opStatus != ERROR_SUCCESS) {
    goto Cleanup;
  }

  memset(&attachParameters, 0, sizeof(attachParameters));
  attachParameters.Version = ATTACH_VIRTUAL_DISK_VERSION_1;
  attachFlags = ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME;
  if (ReadOnly) {
    attachFlags |= ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY;
  }
  attachFlags &= ~ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER;
  opStatus = AttachVirtualDisk(handle, sd, attachFlags, 0, &attachParameters, NULL);

Cleanup:
  if (handle != INVALID_HANDLE_VALUE) {
    CloseHandle(handle);
  }
  return opStatus;
}

// Queries of growing size through one buffer, then a list of strings.
static DWORD ListParents(HANDLE handle) {
  ULONG infoSize = sizeof(GET_VIRTUAL_DISK_INFO);
  PGET_VIRTUAL_DISK_INFO info = (PGET_VIRTUAL_DISK_INFO)malloc(infoSize);
  if (info == NULL) return ERROR_NOT_ENOUGH_MEMORY;
  info->Version = GET_VIRTUAL_DISK_INFO_PARENT_LOCATION;
  DWORD status = GetVirtualDiskInformation(handle, &infoSize, info, NULL);
  if (status == ERROR_INSUFFICIENT_BUFFER) {
    free(info);
    info = (PGET_VIRTUAL_DISK_INFO)malloc(infoSize);
    if (info == NULL) return ERROR_OUTOFMEMORY;
    info->Version = GET_VIRTUAL_DISK_INFO_PARENT_LOCATION;
    status = GetVirtualDiskInformation(handle, &infoSize, info, NULL);
  }
  if (status == ERROR_SUCCESS) {
    LPCWSTR path = info->ParentLocation.ParentLocationBuffer;
    size_t remaining = infoSize - FIELD_OFFSET(GET_VIRTUAL_DISK_INFO, ParentLocation.ParentLocationBuffer);
    while (remaining >= sizeof(path[0]) && *path != 0) {
      size_t size;
      HRESULT hr = StringCbLengthW(path, remaining, &size);
      if (FAILED(hr)) break;
      size += sizeof(path[0]);
      path += size / sizeof(path[0]);
      remaining -= size;
    }
  }
  free(info);
  return status;
}

// A structure with entries behind it, and a flag set from an alias.
static DWORD Dependencies(HANDLE drive) {
  TCHAR volume[8] = L"\\\\.\\C:\\";
  volume[4] = drive == NULL ? L'C' : L'D';
  GET_STORAGE_DEPENDENCY_FLAG flags =
      GET_STORAGE_DEPENDENCY_FLAG_PARENTS | GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE;
  if (volume[4] == L'C') return ERROR_INVALID_HANDLE;
  DWORD size = sizeof(STORAGE_DEPENDENCY_INFO);
  DWORD used = 0;
  std::vector<BYTE> buffer(size);
  auto info = reinterpret_cast<PSTORAGE_DEPENDENCY_INFO>(buffer.data());
  info->Version = STORAGE_DEPENDENCY_INFO_VERSION_2;
  DWORD status = GetStorageDependencyInformation(drive, flags, size, info, &used);
  for (DWORD i = 0; status == ERROR_SUCCESS && i < info->NumberEntries; i++) {
    if (info->Version2Entries[i].AncestorLevel == 0 && info->Version2Entries[i].HostVolumeName == NULL) break;
  }
  return status;
}

// Modern C++: aggregates, deleters, nullptr parameters, 64-bit values through LARGE_INTEGER.
struct HandleCloser {
  void operator()(HANDLE h) const { CloseHandle(h); }
};

static DWORD Resize(PCWSTR path, ULONGLONG bytes) {
  VIRTUAL_STORAGE_TYPE type = {VIRTUAL_STORAGE_TYPE_DEVICE_VHDX, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT};
  HANDLE raw = nullptr;
  DWORD status = OpenVirtualDisk(&type, path, VIRTUAL_DISK_ACCESS_GET_INFO | VIRTUAL_DISK_ACCESS_METAOPS,
                                 OPEN_VIRTUAL_DISK_FLAG_NONE, nullptr, &raw);
  if (status != ERROR_SUCCESS) return status;
  std::unique_ptr<void, HandleCloser> handle(raw);
  RESIZE_VIRTUAL_DISK_PARAMETERS parameters = {};
  parameters.Version = RESIZE_VIRTUAL_DISK_VERSION_1;
  LARGE_INTEGER size;
  size.QuadPart = static_cast<LONGLONG>(bytes);
  parameters.Version1.NewSize = size.QuadPart;
  OVERLAPPED overlapped{};
  overlapped.Offset = size.LowPart;
  overlapped.OffsetHigh = size.HighPart;
  return ResizeVirtualDisk(handle.get(), RESIZE_VIRTUAL_DISK_FLAG_ALLOW_UNSAFE_VIRTUAL_SIZE, &parameters,
                           &overlapped);
}

static DWORD Create(PCWSTR path, PCWSTR parent) {
  GUID id = {};
  UUID* uuid = (UUID*)&id;
  VIRTUAL_STORAGE_TYPE type{};
  CREATE_VIRTUAL_DISK_PARAMETERS parameters{};
  parameters.Version = CREATE_VIRTUAL_DISK_VERSION_2;
  parameters.Version2.UniqueId = *uuid;
  parameters.Version2.MaximumSize = 1ULL << 30;
  parameters.Version2.BlockSizeInBytes = CREATE_VIRTUAL_DISK_PARAMETERS_DEFAULT_BLOCK_SIZE;
  parameters.Version2.SectorSizeInBytes = CREATE_VIRTUAL_DISK_PARAMETERS_DEFAULT_SECTOR_SIZE;
  parameters.Version2.ParentPath = parent;
  parameters.Version2.OpenFlags = OPEN_VIRTUAL_DISK_FLAG_CACHED_IO;
  HANDLE handle = INVALID_HANDLE_VALUE;
  DWORD status = CreateVirtualDisk(&type, path, VIRTUAL_DISK_ACCESS_NONE, NULL,
                                   CREATE_VIRTUAL_DISK_FLAG_PREVENT_WRITES_TO_SOURCE_DISK |
                                       CREATE_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES,
                                   0, &parameters, NULL, &handle);
  SET_VIRTUAL_DISK_INFO set = {SET_VIRTUAL_DISK_INFO_PARENT_PATH_WITH_DEPTH, {}};
  set.ParentPathWithDepthInfo.ChildDepth = 1;
  set.ParentPathWithDepthInfo.ParentFilePath = parent;
  return status != ERROR_SUCCESS ? status : SetVirtualDiskInformation(handle, &set);
}

// Metadata by pointer to a constant GUID and by pointer to a variable.
static DWORD Metadata(HANDLE handle) {
  static const GUID kItem = {0x11223344, 0x5566, 0x7788, {1, 2, 3, 4, 5, 6, 7, 8}};
  const char text[] = "text";
  ULONG count = 0;
  GUID* items = NULL;
  DWORD status = EnumerateVirtualDiskMetadata(handle, &count, items);
  if (status != ERROR_SUCCESS && status != ERROR_MORE_DATA) return status;
  GUID item = kItem;
  LPGUID pointer = &item;
  status = SetVirtualDiskMetadata(handle, &kItem, sizeof(text), text);
  if (status == ERROR_SUCCESS) status = GetVirtualDiskMetadata(handle, pointer, &count, NULL);
  return status == ERROR_SUCCESS ? DeleteVirtualDiskMetadata(handle, pointer) : status;
}

// Codes in expressions: a switch, a conversion, a comparison with HRESULT.
static HRESULT Translate(DWORD code) {
  switch (code) {
    case ERROR_SUCCESS:
      return S_OK;
    case ERROR_VHD_PARENT_VHD_NOT_FOUND:
    case ERROR_VIRTDISK_PROVIDER_NOT_FOUND:
    case ERROR_FILE_CORRUPT:
      return HRESULT_FROM_WIN32(code);
    default:
      return code == (DWORD)ERROR_VHD_SHARED ? ERROR_VHD_SHARED : E_FAIL;
  }
}

#define EXPECT(condition) \
  if (!(condition)) return printf("line %d: %s\n", __LINE__, #condition), 1

int __cdecl main(_In_ int argc, _In_reads_(argc) char* argv[]) {
  UNREFERENCED_PARAMETER(argv);
  if (argc > 1000) {  // never: these need images and parts that may not be built yet
    HANDLE h = NULL;
    return (int)(AttachImage(L"a.vhdx", TRUE) + ListParents(h) + Dependencies(h) + Resize(L"a", 1) +
                 Create(L"b", L"a") + Metadata(h));
  }
  ATTACH_VIRTUAL_DISK_FLAG flags = ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY | ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT;
  EXPECT(flags == 0x401);
  flags ^= ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY;
  EXPECT(flags == ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT);
  EXPECT((~flags & ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT) == ATTACH_VIRTUAL_DISK_FLAG_NONE);
  const auto unknown = static_cast<OPEN_VIRTUAL_DISK_FLAG>(0x80000000);
  EXPECT(static_cast<DWORD>(unknown | OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS) == 0x80000001);
  static_assert((VIRTUAL_DISK_ACCESS_ATTACH_RO | VIRTUAL_DISK_ACCESS_DETACH | VIRTUAL_DISK_ACCESS_GET_INFO) ==
                    VIRTUAL_DISK_ACCESS_READ,
                "");
  EXPECT(Translate(ERROR_FILE_CORRUPT) == (HRESULT)0x80070570 &&
         FAILED(Translate(ERROR_VHD_PARENT_VHD_NOT_FOUND)));
  EXPECT(Translate(ERROR_SUCCESS) == S_OK && Translate((DWORD)ERROR_VHD_SHARED) == ERROR_VHD_SHARED);
  EXPECT(wcscmp(PathFindExtension(L"d.d/a b.c.VHDX"), L".VHDX") == 0);
  EXPECT(*PathFindExtension(L"C:\\d.d\\file") == 0 && *PathFindExtension(L"d.d/file") == 0);
  EXPECT(PathFindExtensionW(NULL) == NULL);
  EXPECT(_wcsicmp(L".VHDX", L".vhdx") == 0 && _wcsicmp(L"a", L"B") < 0 && _wcsicmp(L"ab", L"a") > 0);
  EXPECT(_wcsnicmp(L"ABc", L"abd", 2) == 0);
  EXPECT(_wtoi(L" 42x") == 42 && _wtoi(L"99999999999") == 2147483647 &&
         _wtoi64(L"2147483648") == 2147483648LL);
  size_t length = 7;
  EXPECT(StringCbLengthW(L"abc", 4 * sizeof(WCHAR), &length) == S_OK && length == 3 * sizeof(WCHAR));
  EXPECT(FAILED(StringCbLengthW(L"abc", 3 * sizeof(WCHAR), &length)) && length == 0);
  WCHAR copy[3];
  EXPECT(StringCbCopyW(copy, sizeof(copy), L"abc") == STRSAFE_E_INSUFFICIENT_BUFFER &&
         wcscmp(copy, L"ab") == 0);
  EXPECT(StringCchCopyW(copy, ARRAYSIZE(copy), L"xy") == S_OK && wcscmp(copy, L"xy") == 0);
  EXPECT(LOWORD(0x12345678) == 0x5678 && HIWORD(0x12345678) == 0x1234);
  LARGE_INTEGER large;
  large.QuadPart = 0x100000002LL;
  EXPECT(large.LowPart == 2 && large.HighPart == 1 && large.u.HighPart == 1);
  return 0;
}
