// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of objbase.h. */
#include "objbase.h"
