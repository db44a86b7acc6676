// SPDX-License-Identifier: Apache-2.0
//
// The server for the kernel's NBD client: NBD's transmission phase alone, over a socket that both sides have
// from the start. There is nothing to agree on: the kernel gets size and abilities by netlink, where the
// socket comes from (attach/nbd_device.h). Why not nbdkit: docs/decisions/023-own-nbd-transmission.md.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/error.h>

#include <cstdint>
#include <memory>

namespace vdisk::serve::nbd {

/// What the kernel is told that a Transmission can do (NBD_FLAG_…).
std::uint64_t transmission_flags(bool read_only) noexcept;

struct TransmissionOptions {
  /// Threads that answer requests, one at a time each.
  unsigned threads = 8;
  /// Told of every request that failed.
  TraceSink trace = {};
};

/// Thread rule: run() once, by one thread; stop() by any. Owner: the caller, who also owns socket and disk.
class Transmission {
 public:
  /// `socket` is a stream socket. REQUIRES: the range lies inside the disk and consists of whole sectors; a
  /// disk that was not opened writable is read_only.
  Transmission(int socket, const Disk& disk, DiskRange range, bool read_only,
               TransmissionOptions options = {});

  /// Answers requests until the client says that it is done, or until stop(); returns when all that were
  /// taken are answered. Fails with nbd.connection_lost when the socket ends without that word, and with
  /// nbd.bad_request for bytes that are no request.
  /// **Durability:** a write is answered when the disk has taken it; a flush, and a write that asks for it
  /// (FUA), when Disk::flush is done. Neither flushes nor closes the disk at its end.
  Status run();
  /// Makes run() return. Async-signal-safe.
  void stop() noexcept;

  struct Impl;
  ~Transmission();
  Transmission(const Transmission&) = delete;
  Transmission& operator=(const Transmission&) = delete;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace vdisk::serve::nbd
