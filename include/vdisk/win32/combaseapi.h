// SPDX-License-Identifier: Apache-2.0
/* What virtual disk clients take from COM: GUIDs and HRESULTs. */
#ifndef VDISK_WIN32_COMBASEAPI_H_
#define VDISK_WIN32_COMBASEAPI_H_

#include "guiddef.h"
#include "rpc.h"
#include "winerror.h"
#include "winnt.h"

/* The all-zero GUID, one copy per unit so that nothing has to be linked for it. */
static const GUID GUID_NULL __attribute__((__unused__)) = {0, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}};

#endif
