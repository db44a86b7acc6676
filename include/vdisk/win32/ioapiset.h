// SPDX-License-Identifier: Apache-2.0
/* The constants and functions of this name live in winbase.h. */
#include "winbase.h"
