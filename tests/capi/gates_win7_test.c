// SPDX-License-Identifier: Apache-2.0
/* A client that keeps itself to Windows 7 may use later names for itself: none of them is declared. */
#define _WIN32_WINNT 0x0601
#include <virtdisk.h>
#include <windows.h>

#if NTDDI_VERSION != NTDDI_WIN7 || WINVER != _WIN32_WINNT_WIN7
#error "NTDDI_VERSION and WINVER follow _WIN32_WINNT"
#endif

enum later_names {
  EnumerateVirtualDiskMetadata,
  GetVirtualDiskMetadata,
  SetVirtualDiskMetadata,
  DeleteVirtualDiskMetadata,
  ResizeVirtualDisk,
  MirrorVirtualDisk,
  BreakMirrorVirtualDisk,
  AddVirtualDiskParent,
  QueryChangesVirtualDisk,
  TakeSnapshotVhdSet,
  DeleteSnapshotVhdSet,
  ModifyVhdSet,
  ApplySnapshotVhdSet,
  RawSCSIVirtualDisk,
  ForkVirtualDisk,
  CompleteForkVirtualDisk,
  FORK_VIRTUAL_DISK_VERSION_1
};

int main(void) { return sizeof(&OpenVirtualDisk) == sizeof(&CreateVirtualDisk) ? 0 : 1; }
