// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of shlwapi.h. */
#include "shlwapi.h"
