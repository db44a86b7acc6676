// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of rpc.h. */
#include "rpc.h"
