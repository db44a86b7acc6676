// SPDX-License-Identifier: Apache-2.0
//
// The kernel's FUSE protocol: its own header, and what Debian 12's copy of it (7.38) does not have yet.
// Numbers and struct layouts are the kernel's interface to user space (Linux, include/uapi/linux/fuse.h;
// Documentation/ filesystems/fuse/fuse-io.rst).
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

#include "serve/payload_buffer.h"

namespace vdisk::serve::fuse {

/// Protocol 7.40 (Linux 6.9): the kernel knows FUSE_NOTIFY_RESEND. Bits from 32 on go into flags2.
inline constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39;
/// Protocol 7.40: written by a server, makes the kernel send again every request that it has not answered.
inline constexpr std::int32_t kNotifyResend = 7;

/// The oldest protocol that is spoken: 7.28 (Linux 4.20) brought requests of more than 128 KiB.
inline constexpr std::uint32_t kLeastMinor = 28;

// kMostPayloadBytes of one READ or WRITE is also the most that the kernel lets an unprivileged server have.
/// What a WRITE has before its payload: a request that is read to this many bytes before a page has its
/// payload on that page.
inline constexpr std::size_t kHeadBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
static_assert(kHeadBytes == 80 && sizeof(fuse_out_header) < kHeadBytes);

}  // namespace vdisk::serve::fuse
