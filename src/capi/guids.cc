// SPDX-License-Identifier: Apache-2.0
// The vendor GUIDs for programs that include virtdisk.h without initguid.h (virtdisk-api.md 9.3). virtdisk.h
// gives them symbol names of the library's own, VirtdiskVendor*.
#include "virtdisk.h"

#ifdef INITGUID
#error "These are the definitions that units without initguid.h refer to."
#endif

const GUID VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN = {0, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}};

const GUID VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT = {
    0xec984aec, 0xa0f9, 0x47e9, {0x90, 0x1f, 0x71, 0x41, 0x5a, 0x66, 0x34, 0x5b}};
