// SPDX-License-Identifier: Apache-2.0
/* GetVirtualDiskInformation: every class that needs no attachment, on every kind of image, and the rules
 * about buffers (virtdisk-api.md 1.4, 3.8). argv[1] is the folder that make_images filled. */
#include <stddef.h>

#include "check.h"

#define MIB (1024ULL * 1024)

static HANDLE open_image(const char* name, ULONG flags) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN);
  HANDLE handle = NULL;
  CHECK_CODE(OpenVirtualDisk(&type, image(name), VIRTUAL_DISK_ACCESS_GET_INFO, (OPEN_VIRTUAL_DISK_FLAG)flags,
                             NULL, &handle),
             0);
  return handle;
}

static DWORD query(HANDLE handle, ULONG version, GET_VIRTUAL_DISK_INFO* info) {
  ULONG size = sizeof *info;
  memset(info, 0xEE, sizeof *info);
  info->Version = (GET_VIRTUAL_DISK_INFO_VERSION)version;
  return GetVirtualDiskInformation(handle, &size, info, NULL);
}

struct expectation {
  const char* name;
  ULONG device, subtype, block, logical, physical;
  unsigned long long virtual_size;
};

static const struct expectation kinds[] = {
    {"fixed.vhd", 2, 2, 0, 512, 512, 4 * MIB},
    {"dynamic.vhd", 2, 3, 2 * 1024 * 1024, 512, 512, 64 * MIB},
    {"child.vhd", 2, 4, 2 * 1024 * 1024, 512, 512, 64 * MIB},
    {"dynamic.vhdx", 3, 3, 32 * 1024 * 1024, 512, 4096, 1024 * MIB},
    {"sector4k.vhdx", 3, 3, 32 * 1024 * 1024, 4096, 4096, 1024 * MIB},
    {"child.vhdx", 3, 4, 2 * 1024 * 1024, 512, 4096, 1024 * MIB},
    {"disc.iso", 1, 2, 0, 2048, 2048, 0},
};

static void classes_of_every_kind(void) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
    const struct expectation* kind = &kinds[i];
    HANDLE handle = open_image(kind->name, 0);
    GET_VIRTUAL_DISK_INFO info;
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
    if (kind->virtual_size != 0) CHECK(info.Size.VirtualSize == kind->virtual_size);
    CHECK(info.Size.PhysicalSize > 0);
    CHECK(info.Size.BlockSize == kind->block);
    CHECK(info.Size.SectorSize == kind->logical);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE, &info), 0);
    CHECK(info.VirtualStorageType.DeviceId == kind->device);
    CHECK(memcmp(&info.VirtualStorageType.VendorId, &VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT, sizeof(GUID)) ==
          0);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE, &info), 0);
    CHECK(info.ProviderSubtype == kind->subtype);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_IS_4K_ALIGNED, &info), 0);
    CHECK(info.Is4kAligned == TRUE);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_VHD_PHYSICAL_SECTOR_SIZE, &info), 0);
    CHECK(info.VhdPhysicalSectorSize == kind->physical);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PHYSICAL_DISK, &info), 0);
    CHECK(info.PhysicalDisk.LogicalSectorSize >= 512 &&
          info.PhysicalDisk.PhysicalSectorSize >= info.PhysicalDisk.LogicalSectorSize);
    CHECK(info.PhysicalDisk.IsRemote == FALSE);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_IS_LOADED, &info), 0);
    CHECK(info.IsLoaded == FALSE);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_FRAGMENTATION, &info), 0);
    CHECK(info.FragmentationPercentage <= 100);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE, &info), 0);
    CHECK(info.ChangeTrackingState.Enabled == FALSE && info.ChangeTrackingState.MostRecentId[0] == 0);
    CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SMALLEST_SAFE_VIRTUAL_SIZE, &info), 0xC03A0026);
    CHECK_CODE(query(handle, 0, &info), 87);
    CHECK_CODE(query(handle, 16, &info), 87);
    CHECK(CloseHandle(handle) == TRUE);
  }
}

/* make_images gives every image the id 00112233-4455-6677-8899-aabbccddeeff, VHDX parents the DataWriteGuid
 * a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf. */
static void identities(void) {
  static const GUID disk_id = {0x00112233, 0x4455, 0x6677, {0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};
  static const GUID write_id = {0xa0a1a2a3, 0xa4a5, 0xa6a7, {0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}};
  GET_VIRTUAL_DISK_INFO info;
  HANDLE vhd = open_image("dynamic.vhd", 0);
  CHECK_CODE(query(vhd, GET_VIRTUAL_DISK_INFO_IDENTIFIER, &info), 0);
  CHECK(memcmp(&info.Identifier, &disk_id, sizeof disk_id) == 0);
  CHECK_CODE(query(vhd, GET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID, &info), 0);
  CHECK(memcmp(&info.VirtualDiskId, &disk_id, sizeof disk_id) == 0);
  CHECK(CloseHandle(vhd) == TRUE);
  HANDLE vhdx = open_image("dynamic.vhdx", 0);
  CHECK_CODE(query(vhdx, GET_VIRTUAL_DISK_INFO_IDENTIFIER, &info), 0);
  CHECK(memcmp(&info.Identifier, &write_id, sizeof write_id) == 0);
  CHECK_CODE(query(vhdx, GET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID, &info), 0);
  CHECK(memcmp(&info.VirtualDiskId, &disk_id, sizeof disk_id) == 0);
  CHECK(CloseHandle(vhdx) == TRUE);
  HANDLE child = open_image("child.vhdx", 0);
  CHECK_CODE(query(child, GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER, &info), 0);
  CHECK(memcmp(&info.ParentIdentifier, &write_id, sizeof write_id) == 0);
  CHECK_CODE(query(child, GET_VIRTUAL_DISK_INFO_PARENT_TIMESTAMP, &info), 0);
  CHECK(CloseHandle(child) == TRUE);
}

static void parent_classes_need_a_differencing_disk(void) {
  static const ULONG classes[] = {GET_VIRTUAL_DISK_INFO_PARENT_LOCATION,
                                  GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER,
                                  GET_VIRTUAL_DISK_INFO_PARENT_TIMESTAMP};
  static const char* const names[] = {"fixed.vhd", "dynamic.vhd", "dynamic.vhdx"};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      GET_VIRTUAL_DISK_INFO info;
      HANDLE handle = open_image(names[i], 0);
      CHECK_CODE(query(handle, classes[j], &info), 0xC03A001B);
      CHECK(CloseHandle(handle) == TRUE);
    }
  }
}

/* The samples' loop: ask, grow to what is needed, ask again. */
static GET_VIRTUAL_DISK_INFO* parent_location(HANDLE handle, ULONG* bytes) {
  ULONG size = sizeof(GET_VIRTUAL_DISK_INFO);
  GET_VIRTUAL_DISK_INFO* info = (GET_VIRTUAL_DISK_INFO*)malloc(size);
  info->Version = GET_VIRTUAL_DISK_INFO_PARENT_LOCATION;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, info, NULL), ERROR_INSUFFICIENT_BUFFER);
  CHECK(size > sizeof(GET_VIRTUAL_DISK_INFO));
  info = (GET_VIRTUAL_DISK_INFO*)realloc(info, size);
  info->Version = GET_VIRTUAL_DISK_INFO_PARENT_LOCATION;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, info, bytes), 0);
  CHECK(*bytes == size);
  return info;
}

static void parent_locations(void) {
  static const char* const resolved[][2] = {{"child.vhd", "dynamic.vhd"}, {"child.vhdx", "dynamic.vhdx"}};
  ULONG bytes = 0;
  for (size_t i = 0; i < 2; ++i) {
    HANDLE handle = open_image(resolved[i][0], 0);
    GET_VIRTUAL_DISK_INFO* info = parent_location(handle, &bytes);
    char path[4096];
    CHECK(info->ParentLocation.ParentResolved == TRUE);
    snprintf(path, sizeof path, "%ls", info->ParentLocation.ParentLocationBuffer);
    CHECK(strstr(path, resolved[i][1]) != NULL);
    free(info);
    CHECK(CloseHandle(handle) == TRUE);
  }
  HANDLE orphan = open_image("orphan.vhd", OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS);
  GET_VIRTUAL_DISK_INFO* info = parent_location(orphan, &bytes);
  CHECK(info->ParentLocation.ParentResolved == FALSE);
  const wchar_t* text = info->ParentLocation.ParentLocationBuffer; /* MULTI_SZ */
  size_t length =
      (bytes - offsetof(GET_VIRTUAL_DISK_INFO, ParentLocation.ParentLocationBuffer)) / sizeof(wchar_t);
  CHECK(length >= 3 && text[length - 1] == 0 && text[length - 2] == 0);
  CHECK(wcsstr(text, L"gone.vhd") != NULL);
  free(info);
  CHECK(CloseHandle(orphan) == TRUE);
}

/* The sample queries of growing size with one size variable: subtype 12, storage type 28, size 32 bytes. */
static void the_size_never_shrinks(void) {
  HANDLE handle = open_image("fixed.vhd", 0);
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  ULONG used = 0;
  info.Version = GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, &used), 0);
  CHECK(size == sizeof info && used == 12);
  info.Version = GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, &used), 0);
  CHECK(size == sizeof info && used == 28);
  info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, &used), 0);
  CHECK(size == sizeof info && used == 32);

  for (ULONG small = 0; small < 32; ++small) {
    ULONG given = small;
    info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
    CHECK_CODE(GetVirtualDiskInformation(handle, &given, &info, NULL), ERROR_INSUFFICIENT_BUFFER);
    CHECK(given == 32);
  }
  CHECK_CODE(GetVirtualDiskInformation(handle, NULL, &info, NULL), 87);
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, NULL, NULL), 87);
  CHECK_CODE(GetVirtualDiskInformation(NULL, &size, &info, NULL), ERROR_INVALID_HANDLE);
  CHECK_CODE(GetVirtualDiskInformation(INVALID_HANDLE_VALUE, &size, &info, NULL), ERROR_INVALID_HANDLE);
  CHECK(CloseHandle(handle) == TRUE);
}

static void the_right_is_needed(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VIRTUAL_STORAGE_TYPE_DEVICE_VHD);
  HANDLE handle = NULL;
  GET_VIRTUAL_DISK_INFO info;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_DETACH,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
             0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), ERROR_ACCESS_DENIED);
  CHECK(CloseHandle(handle) == TRUE);
  OPEN_VIRTUAL_DISK_PARAMETERS v2 = parameters_of(2, 0);
  v2.Version2.GetInfoOnly = TRUE;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_NONE, OPEN_VIRTUAL_DISK_FLAG_NONE,
                             &v2, &handle),
             0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
  CHECK(CloseHandle(handle) == TRUE);
}

int main(int argc, char** argv) {
  if (argc > 1) image_folder = argv[1];
  classes_of_every_kind();
  identities();
  parent_classes_need_a_differencing_disk();
  parent_locations();
  the_size_never_shrinks();
  the_right_is_needed();
  return checks_done();
}
