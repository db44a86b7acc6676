// SPDX-License-Identifier: Apache-2.0
/* The part of <windows.h> that virtual disk clients use (virtdisk-api.md 9.2): types, constants, structures,
 * error codes, and the few functions of winbase.h. */
#ifndef VDISK_WIN32_WINDOWS_H_
#define VDISK_WIN32_WINDOWS_H_

#include "guiddef.h"
#include "sal.h"
#include "sdkddkver.h"
#include "vdisk_crt.h"
#include "winapifamily.h"
#include "winbase.h"
#include "winerror.h"
#include "winnt.h"

/* A client that wants a lean <windows.h> includes what it needs by itself, as on Windows. */
#ifndef WIN32_LEAN_AND_MEAN
#include "combaseapi.h"
#include "rpc.h"
#include "winioctl.h"
#endif

#endif
