// SPDX-License-Identifier: Apache-2.0
/* UUID and the RPC status codes that clients compare with. */
#ifndef VDISK_WIN32_RPC_H_
#define VDISK_WIN32_RPC_H_

#include "winnt.h"

#ifndef UUID_DEFINED
#define UUID_DEFINED
typedef GUID UUID;
#endif

typedef LONG RPC_STATUS;

#define RPC_ENTRY __stdcall
#define RPC_S_OK 0
#define RPC_S_INVALID_ARG 87
#define RPC_S_OUT_OF_MEMORY 14
#define RPC_S_INVALID_STRING_UUID 1705
#define RPC_S_UUID_NO_ADDRESS 1739
#define RPC_S_UUID_LOCAL_ONLY 1824

#endif
