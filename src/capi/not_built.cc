// SPDX-License-Identifier: Apache-2.0
//
// Functions that the header declares and that are not built yet: each says so with ERROR_CALL_NOT_IMPLEMENTED
// (120). tests/capi/not_built_test.c lists them; a function leaves both places when it is built.
#include <virtdisk.h>

#include "capi/faults.h"
#include "capi/last_error.h"

namespace {

DWORD not_built(const char* name) {
  return vdisk::capi::api_call([&]() -> vdisk::Status {
    return vdisk::fail(vdisk::capi::faults::kNotBuilt, "{} is not built yet", name);
  });
}

}  // namespace

#define VDISK_NOT_BUILT(name, ...) \
  DWORD WINAPI name(__VA_ARGS__) { return not_built(#name); }

VDISK_NOT_BUILT(AddVirtualDiskParent, HANDLE, PCWSTR)
VDISK_NOT_BUILT(ApplySnapshotVhdSet, HANDLE, const PAPPLY_SNAPSHOT_VHDSET_PARAMETERS,
                APPLY_SNAPSHOT_VHDSET_FLAG)
VDISK_NOT_BUILT(BreakMirrorVirtualDisk, HANDLE)
VDISK_NOT_BUILT(CompactVirtualDisk, HANDLE, COMPACT_VIRTUAL_DISK_FLAG, PCOMPACT_VIRTUAL_DISK_PARAMETERS,
                LPOVERLAPPED)
VDISK_NOT_BUILT(CompleteForkVirtualDisk, HANDLE)
VDISK_NOT_BUILT(DeleteSnapshotVhdSet, HANDLE, const PDELETE_SNAPSHOT_VHDSET_PARAMETERS,
                DELETE_SNAPSHOT_VHDSET_FLAG)
VDISK_NOT_BUILT(DeleteVirtualDiskMetadata, HANDLE, const GUID*)
VDISK_NOT_BUILT(EnumerateVirtualDiskMetadata, HANDLE, PULONG, GUID*)
VDISK_NOT_BUILT(ExpandVirtualDisk, HANDLE, EXPAND_VIRTUAL_DISK_FLAG, PEXPAND_VIRTUAL_DISK_PARAMETERS,
                LPOVERLAPPED)
VDISK_NOT_BUILT(ForkVirtualDisk, HANDLE, FORK_VIRTUAL_DISK_FLAG, const FORK_VIRTUAL_DISK_PARAMETERS*,
                LPOVERLAPPED)
VDISK_NOT_BUILT(GetVirtualDiskMetadata, HANDLE, const GUID*, PULONG, PVOID)
VDISK_NOT_BUILT(MergeVirtualDisk, HANDLE, MERGE_VIRTUAL_DISK_FLAG, PMERGE_VIRTUAL_DISK_PARAMETERS,
                LPOVERLAPPED)
VDISK_NOT_BUILT(MirrorVirtualDisk, HANDLE, MIRROR_VIRTUAL_DISK_FLAG, PMIRROR_VIRTUAL_DISK_PARAMETERS,
                LPOVERLAPPED)
VDISK_NOT_BUILT(ModifyVhdSet, HANDLE, const PMODIFY_VHDSET_PARAMETERS, MODIFY_VHDSET_FLAG)
VDISK_NOT_BUILT(QueryChangesVirtualDisk, HANDLE, PCWSTR, ULONG64, ULONG64, QUERY_CHANGES_VIRTUAL_DISK_FLAG,
                PQUERY_CHANGES_VIRTUAL_DISK_RANGE, PULONG, PULONG64)
VDISK_NOT_BUILT(RawSCSIVirtualDisk, HANDLE, const PRAW_SCSI_VIRTUAL_DISK_PARAMETERS,
                RAW_SCSI_VIRTUAL_DISK_FLAG, PRAW_SCSI_VIRTUAL_DISK_RESPONSE)
VDISK_NOT_BUILT(ResizeVirtualDisk, HANDLE, RESIZE_VIRTUAL_DISK_FLAG, PRESIZE_VIRTUAL_DISK_PARAMETERS,
                LPOVERLAPPED)
VDISK_NOT_BUILT(SetVirtualDiskInformation, HANDLE, PSET_VIRTUAL_DISK_INFO)
VDISK_NOT_BUILT(SetVirtualDiskMetadata, HANDLE, const GUID*, ULONG, const void*)
VDISK_NOT_BUILT(TakeSnapshotVhdSet, HANDLE, const PTAKE_SNAPSHOT_VHDSET_PARAMETERS, TAKE_SNAPSHOT_VHDSET_FLAG)
