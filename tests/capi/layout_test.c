// SPDX-License-Identifier: Apache-2.0
/* Every value, the whole layout and every prototype, as C sees them. It passes by compiling. */
#include <initguid.h>
#include <sddl.h>
#include <stddef.h>
#include <virtdisk.h>
#include <windows.h>

#define ALIGNOF(type) _Alignof(type)
#define CHECK(condition) _Static_assert(condition, #condition)
#pragma GCC diagnostic ignored "-Wpedantic" /* offsetof into arrays and nested members */
#include "layout_checks.inc"

#define PROTOTYPE(function, result, parameters) \
  CHECK(_Generic(&function, result(*) parameters: 1, default: 0));
#include "prototype_checks.inc"

int main(void) { return 0; }
