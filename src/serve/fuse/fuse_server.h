// SPDX-License-Identifier: Apache-2.0
//
// Serves a folder of plain files, each a range of a disk, to the kernel's FUSE. The transport is our own
// (docs/decisions/007-own-fuse-transport.md). The server keeps nothing that a successor would need: node
// numbers follow from the list of files, and there are no handles. So a server that was killed can be
// replaced by another one with the same list over the same descriptor; the kernel then sends again what was
// not answered.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/error.h>

#include <memory>
#include <string>
#include <vector>

namespace vdisk::serve {

/// One plain file of the folder. The range must lie inside the disk and consist of whole logical sectors; the
/// disk outlives the server. A file of a disk that was not opened writable must be read_only.
struct ServedFile {
  std::string name;
  const Disk* disk = nullptr;
  DiskRange range;
  bool read_only = false;
};

struct FuseServerOptions {
  /// Threads that answer requests, one at a time each.
  unsigned threads = 8;
  /// Threads before them that read requests and move payload through io_uring, many at a time: where all
  /// disks were opened with `direct_io` and the kernel allows it.
  unsigned loops = 2;
  bool io_uring = true;
  /// True: another server of the same connection was killed; the kernel is asked to send again what it did
  /// not answer. False: the connection is new.
  bool resume = false;
  /// Told of every operation that failed.
  TraceSink trace = {};
};

/// Thread rule: run() once, by one thread; stop() by any. Owner: the caller, who also owns the descriptor.
class FuseServer {
 public:
  /// `device` is an open /dev/fuse that is mounted (mount.h). It is made non-blocking.
  FuseServer(int device, std::vector<ServedFile> files, FuseServerOptions options);
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  /// Answers requests until the folder is unmounted or stop() is called; returns when all that were taken are
  /// answered. Fails with fuse.connection when the connection is aborted, fuse.no_resend when `resume` is not
  /// possible; nothing was answered then.
  /// **Durability:** a write is answered when the disk has taken it, an fsync when Disk::flush is done; every
  /// write answered before the fsync came is covered by it. Neither flushes nor closes the disks at its end.
  Status run();
  /// Makes run() return. Async-signal-safe.
  void stop() noexcept;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace vdisk::serve
