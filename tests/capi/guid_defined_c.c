// SPDX-License-Identifier: Apache-2.0
/* One of three units of the GUID emission test: defines the GUIDs, in C. */
#include <initguid.h>
#include <virtdisk.h>
#include <windows.h>

/* A client's own GUID, defined in two units under one name. */
DEFINE_GUID(ClientItem, 0x01020304, 0x0506, 0x0708, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10);

const GUID* microsoft_in_c(void);
const GUID* microsoft_in_c(void) { return &VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT; }
