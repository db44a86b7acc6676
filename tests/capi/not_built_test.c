// SPDX-License-Identifier: Apache-2.0
/* Exactly these functions are declared and not built yet; each says so with 120, whatever it is given. A
 * function leaves this list when it is built. */
#include "check.h"

int main(void) {
  HANDLE h = NULL;
  OVERLAPPED overlapped;
  memset(&overlapped, 0, sizeof overlapped);
#define NOT_BUILT(call)                                             \
  do {                                                              \
    CHECK_CODE((call), ERROR_CALL_NOT_IMPLEMENTED);                 \
    CHECK(strstr(VirtdiskGetLastErrorText(), "not built") != NULL); \
  } while (0)
  NOT_BUILT(AddVirtualDiskParent(h, L"p"));
  NOT_BUILT(ApplySnapshotVhdSet(h, NULL, APPLY_SNAPSHOT_VHDSET_FLAG_NONE));
  NOT_BUILT(BreakMirrorVirtualDisk(h));
  NOT_BUILT(CompactVirtualDisk(h, COMPACT_VIRTUAL_DISK_FLAG_NONE, NULL, NULL));
  NOT_BUILT(CompleteForkVirtualDisk(h));
  NOT_BUILT(DeleteSnapshotVhdSet(h, NULL, DELETE_SNAPSHOT_VHDSET_FLAG_NONE));
  NOT_BUILT(DeleteVirtualDiskMetadata(h, NULL));
  NOT_BUILT(EnumerateVirtualDiskMetadata(h, NULL, NULL));
  NOT_BUILT(ExpandVirtualDisk(h, EXPAND_VIRTUAL_DISK_FLAG_NONE, NULL, NULL));
  NOT_BUILT(ForkVirtualDisk(h, FORK_VIRTUAL_DISK_FLAG_NONE, NULL, &overlapped));
  NOT_BUILT(GetVirtualDiskMetadata(h, NULL, NULL, NULL));
  NOT_BUILT(MergeVirtualDisk(h, MERGE_VIRTUAL_DISK_FLAG_NONE, NULL, NULL));
  NOT_BUILT(MirrorVirtualDisk(h, MIRROR_VIRTUAL_DISK_FLAG_NONE, NULL, &overlapped));
  NOT_BUILT(ModifyVhdSet(h, NULL, MODIFY_VHDSET_FLAG_NONE));
  NOT_BUILT(QueryChangesVirtualDisk(h, NULL, 0, 0, QUERY_CHANGES_VIRTUAL_DISK_FLAG_NONE, NULL, NULL, NULL));
  NOT_BUILT(RawSCSIVirtualDisk(h, NULL, RAW_SCSI_VIRTUAL_DISK_FLAG_NONE, NULL));
  NOT_BUILT(ResizeVirtualDisk(h, RESIZE_VIRTUAL_DISK_FLAG_NONE, NULL, NULL));
  NOT_BUILT(SetVirtualDiskInformation(h, NULL));
  NOT_BUILT(SetVirtualDiskMetadata(h, NULL, 0, NULL));
  NOT_BUILT(TakeSnapshotVhdSet(h, NULL, TAKE_SNAPSHOT_VHDSET_FLAG_NONE));
  CHECK(checks_run == 2 * 20); /* with the nine that are built: the 29 of the API */
  return checks_done();
}
