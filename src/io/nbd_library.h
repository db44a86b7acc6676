// SPDX-License-Identifier: Apache-2.0
//
// libnbd, loaded when it is first needed: it and the TLS library behind it would cost every start of every
// program some milliseconds, and be a dependency of those that never see a URI.
#pragma once

#include <libnbd.h>

#include "base/fault.h"

namespace vdisk {

// (member, function of libnbd)
#define VDISK_NBD_FUNCTIONS(X)                      \
  X(create, nbd_create)                             \
  X(close, nbd_close)                               \
  X(error_text, nbd_get_error)                      \
  X(error_number, nbd_get_errno)                    \
  X(add_meta_context, nbd_add_meta_context)         \
  X(allow_local_file, nbd_set_uri_allow_local_file) \
  X(get_strict_mode, nbd_get_strict_mode)           \
  X(set_strict_mode, nbd_set_strict_mode)           \
  X(connect_uri, nbd_aio_connect_uri)               \
  X(poll, nbd_poll)                                 \
  X(is_ready, nbd_aio_is_ready)                     \
  X(is_dead, nbd_aio_is_dead)                       \
  X(is_closed, nbd_aio_is_closed)                   \
  X(completed, nbd_aio_command_completed)           \
  X(get_size, nbd_get_size)                         \
  X(get_block_size, nbd_get_block_size)             \
  X(is_read_only, nbd_is_read_only)                 \
  X(can_multi_conn, nbd_can_multi_conn)             \
  X(can_flush, nbd_can_flush)                       \
  X(can_zero, nbd_can_zero)                         \
  X(can_meta_context, nbd_can_meta_context)         \
  X(pread, nbd_aio_pread)                           \
  X(pwrite, nbd_aio_pwrite)                         \
  X(flush, nbd_aio_flush)                           \
  X(zero, nbd_aio_zero)                             \
  X(block_status, nbd_aio_block_status)

/// Its functions, by the names above.
struct NbdLibrary {
#define VDISK_NBD_MEMBER(member, function) decltype(&::function) member = nullptr;
  VDISK_NBD_FUNCTIONS(VDISK_NBD_MEMBER)
#undef VDISK_NBD_MEMBER

  /// Loads it on the first call. Thread rule: any thread. Fails with io.nbd.library.
  static Result<const NbdLibrary*> get();
};

}  // namespace vdisk
