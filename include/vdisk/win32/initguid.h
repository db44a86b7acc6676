// SPDX-License-Identifier: Apache-2.0
/* Include before a header that says DEFINE_GUID: its GUIDs are then defined in this unit. */
#ifndef INITGUID
#define INITGUID
#endif
#include "guiddef.h"
