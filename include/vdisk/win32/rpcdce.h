// SPDX-License-Identifier: Apache-2.0
/* UUID and RPC_S_OK live in rpc.h. */
#include "rpc.h"
