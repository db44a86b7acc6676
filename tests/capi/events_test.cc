// SPDX-License-Identifier: Apache-2.0
// The same in C++.
#include "events_test.c"
