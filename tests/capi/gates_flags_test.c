// SPDX-License-Identifier: Apache-2.0
/* VIRTDISK_DEFINE_FLAGS: constants and flag enums, no functions and no parameter structures. */
#define VIRTDISK_DEFINE_FLAGS
#include <virtdisk.h>

enum absent {
  OpenVirtualDisk,
  CreateVirtualDisk,
  AttachVirtualDisk,
  DetachVirtualDisk,
  GetVirtualDiskInformation,
  CompactVirtualDisk,
  OPEN_VIRTUAL_DISK_VERSION_1,
  CREATE_VIRTUAL_DISK_FLAG_NONE,
  ATTACH_VIRTUAL_DISK_VERSION_1,
  STORAGE_DEPENDENCY_INFO_VERSION_1,
  VirtdiskGetLastErrorText
};

int main(void) {
  const VIRTUAL_STORAGE_TYPE type = {VIRTUAL_STORAGE_TYPE_DEVICE_VHDX, {0, 0, 0, {0}}};
  const VIRTUAL_DISK_ACCESS_MASK access = VIRTUAL_DISK_ACCESS_READ;
  const OPEN_VIRTUAL_DISK_FLAG open = OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS;
  const ATTACH_VIRTUAL_DISK_FLAG attach = SURFACE_VIRTUAL_DISK_FLAG_READ_ONLY;
  const DETACH_VIRTUAL_DISK_FLAG detach = DETACH_VIRTUAL_DISK_FLAG_NONE;
  const DEPENDENT_DISK_FLAG dependent = DEPENDENT_DISK_FLAG_REMOTE;
  const GET_STORAGE_DEPENDENCY_FLAG dependency = GET_STORAGE_DEPENDENCY_FLAG_PARENTS;
  return type.DeviceId == 3 && access == 0xd0000 && open == 1 && attach == 1 && detach == 0 &&
                 dependent == 8 && dependency == 1
             ? 0
             : 1;
}
