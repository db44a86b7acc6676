// SPDX-License-Identifier: Apache-2.0
//
// Version of the C++ API. The C++ API promises source compatibility only: its names live in an inline
// namespace (vdisk::v1), so that two incompatible versions can never be mixed silently at link time.
// The C API in <virtdisk.h> is the one with a stable ABI.
#pragma once

#define VDISK_VERSION_MAJOR 0
#define VDISK_VERSION_MINOR 1
#define VDISK_VERSION_PATCH 0
#define VDISK_VERSION_STRING "0.1.0"
