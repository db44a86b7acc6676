// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of strsafe.h. */
#include "strsafe.h"
