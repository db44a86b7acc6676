// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of windows.h. */
#include "windows.h"
