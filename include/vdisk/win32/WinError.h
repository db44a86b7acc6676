// SPDX-License-Identifier: Apache-2.0
/* The capital spelling of winerror.h. */
#include "winerror.h"
