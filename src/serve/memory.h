// SPDX-License-Identifier: Apache-2.0
//
// A server that the kernel writes pages back through must not wait for memory: the kernel may free some only
// when the server has answered. For processes that do nothing else than serve.
#pragma once

namespace vdisk::serve {

/// Marks the process as one that memory's release depends on, where the system allows that (PR_SET_IO_FLUSHER
/// needs CAP_SYS_RESOURCE); keeps its pages in memory as far as limits allow; and takes some memory for later
/// from the start. To be called before threads are started.
void prepare_for_short_memory() noexcept;

/// Takes the calling thread's stack, as deep as a request needs it.
void touch_stack() noexcept;

}  // namespace vdisk::serve
