// SPDX-License-Identifier: Apache-2.0
/* The basic types, with those of winnt.h. */
#include "winnt.h"
