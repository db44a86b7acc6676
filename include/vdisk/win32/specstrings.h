// SPDX-License-Identifier: Apache-2.0
/* The annotations live in sal.h. */
#include "sal.h"
