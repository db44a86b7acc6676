// SPDX-License-Identifier: Apache-2.0
// The same table, seen by a C++ compiler.
#include "information_test.c"
