// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of virtdisk.h. */
#include "../../virtdisk.h"
