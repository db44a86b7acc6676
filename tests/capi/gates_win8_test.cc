// SPDX-License-Identifier: Apache-2.0
/* Windows 8 by NTDDI_VERSION: what it had is there, what came later is not. */
#define NTDDI_VERSION 0x06020000
#include <virtdisk.h>
#include <windows.h>

#if _WIN32_WINNT != _WIN32_WINNT_WIN8
#error "_WIN32_WINNT follows NTDDI_VERSION"
#endif

using Resize = decltype(&ResizeVirtualDisk);
using Metadata = decltype(&SetVirtualDiskMetadata);
using Parent = decltype(&AddVirtualDiskParent);
enum {
  QueryChangesVirtualDisk,
  TakeSnapshotVhdSet,
  RawSCSIVirtualDisk,
  ForkVirtualDisk,
  CompleteForkVirtualDisk
};

int main() { return 0; }
