// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::serve::nbd::faults {

inline constexpr Fault kNoExport{"nbd.no_export", win32::kFileNotFound,
                                 "The image has no export of the name that was asked for."};
inline constexpr Fault kNoNbdkit{"nbd.no_nbdkit", win32::kFileNotFound,
                                 "The program nbdkit, which does the serving, is not installed."};
inline constexpr Fault kNoPlugin{"nbd.no_plugin", win32::kFileNotFound,
                                 "nbdkit's plugin for images is not installed."};
inline constexpr Fault kSocketName{"nbd.socket_name", win32::kInvalidName,
                                   "The path or address to serve on cannot be that of a socket."};
inline constexpr Fault kSocketInUse{"nbd.socket_in_use", win32::kSharingViolation,
                                    "The socket or port to serve on is taken."};
inline constexpr Fault kSocket{"nbd.socket", win32::kAccessDenied,
                               "The operating system refuses the socket to serve on."};
inline constexpr Fault kKeys{
    "nbd.keys", win32::kFileNotFound,
    "There are neither certificates nor pre-shared keys where TLS was to find them."};
inline constexpr Fault kServerFailed{"nbd.server_failed", win32::kIoDevice,
                                     "nbdkit ended by itself, or could not close the image."};

inline constexpr Fault kConnectionLost{"nbd.connection_lost", win32::kIoDevice,
                                       "The kernel's NBD client let its connection go without a word."};
inline constexpr Fault kBadRequest{"nbd.bad_request", win32::kInvalidParameter,
                                   "The kernel's NBD client sent what is no request."};

inline constexpr const Fault* kAll[] = {&kNoExport,       &kNoNbdkit,  &kNoPlugin, &kSocketName,
                                        &kSocketInUse,    &kSocket,    &kKeys,     &kServerFailed,
                                        &kConnectionLost, &kBadRequest};

}  // namespace vdisk::serve::nbd::faults
