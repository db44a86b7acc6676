// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of initguid.h. */
#include "initguid.h"
