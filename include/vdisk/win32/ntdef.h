// SPDX-License-Identifier: Apache-2.0
/* The basic types. */
#include "winnt.h"
