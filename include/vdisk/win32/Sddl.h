// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of sddl.h. */
#include "sddl.h"
