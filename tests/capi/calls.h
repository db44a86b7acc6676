// SPDX-License-Identifier: Apache-2.0
/* The calls of the tests of attached disks, in short. */
#ifndef VDISK_TESTS_CAPI_CALLS_H_
#define VDISK_TESTS_CAPI_CALLS_H_

#include "check.h"

#define GET_INFO VIRTUAL_DISK_ACCESS_GET_INFO
#define DETACH VIRTUAL_DISK_ACCESS_DETACH
#define ATTACH_RO VIRTUAL_DISK_ACCESS_ATTACH_RO
#define ATTACH_RW VIRTUAL_DISK_ACCESS_ATTACH_RW
#define METAOPS VIRTUAL_DISK_ACCESS_METAOPS
#define READ VIRTUAL_DISK_ACCESS_READ
#define ALL VIRTUAL_DISK_ACCESS_ALL
#define READ_ONLY ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY
#define PERMANENT ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME
#define RAW ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST

/* How an image is opened: version 1 with a mask and a depth, or version 2 or 3 with two booleans. */
struct way {
  ULONG version, mask, depth;
  BOOL get_info_only, read_only;
};
#define V1(mask) {1, (mask), 1, FALSE, FALSE}
static const struct way v2 = {2, 0, 0, FALSE, FALSE};
static const struct way v2_read_only = {2, 0, 0, FALSE, TRUE};
static const struct way all = V1(ALL);

static DWORD open_as(const char* name, struct way way, ULONG flags, HANDLE* handle) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN);
  OPEN_VIRTUAL_DISK_PARAMETERS parameters = parameters_of(way.version, 0);
  *handle = NULL;
  if (way.version == 1) {
    parameters.Version1.RWDepth = way.depth;
  } else {
    parameters.Version2.GetInfoOnly = way.get_info_only; /* version 3 begins in the same way */
    parameters.Version2.ReadOnly = way.read_only;
  }
  return OpenVirtualDisk(&type, image(name), (VIRTUAL_DISK_ACCESS_MASK)way.mask,
                         (OPEN_VIRTUAL_DISK_FLAG)flags, &parameters, handle);
}

static HANDLE opened(const char* name, struct way way) {
  HANDLE handle;
  CHECK_CODE(open_as(name, way, 0, &handle), 0);
  return handle;
}

static DWORD attach(HANDLE handle, ULONG flags) {
  return AttachVirtualDisk(handle, NULL, (ATTACH_VIRTUAL_DISK_FLAG)flags, 0, NULL, NULL);
}
static DWORD detach(HANDLE handle) { return DetachVirtualDisk(handle, DETACH_VIRTUAL_DISK_FLAG_NONE, 0); }
static void close_handle(HANDLE handle) { CHECK(CloseHandle(handle) == TRUE); }

static DWORD query(HANDLE handle, ULONG version, GET_VIRTUAL_DISK_INFO* info) {
  ULONG size = sizeof *info;
  memset(info, 0xEE, sizeof *info);
  info->Version = (GET_VIRTUAL_DISK_INFO_VERSION)version;
  return GetVirtualDiskInformation(handle, &size, info, NULL);
}
static int is_loaded(HANDLE handle) {
  GET_VIRTUAL_DISK_INFO info;
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_IS_LOADED, &info), 0);
  return info.IsLoaded;
}

#endif
