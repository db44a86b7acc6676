// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of winioctl.h. */
#include "winioctl.h"
