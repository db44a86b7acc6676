// SPDX-License-Identifier: Apache-2.0
/* Revision numbers of security descriptor strings. */
#ifndef VDISK_WIN32_SDDL_H_
#define VDISK_WIN32_SDDL_H_

#include "winnt.h"

#define SDDL_REVISION_1 1
#define SDDL_REVISION SDDL_REVISION_1

#endif
