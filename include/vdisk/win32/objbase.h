// SPDX-License-Identifier: Apache-2.0
/* See combaseapi.h. */
#include "combaseapi.h"
