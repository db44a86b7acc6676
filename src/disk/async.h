// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes of a disk that occupy no thread: for servers with many requests under way. Only where
// nothing but payload has to move, past the page cache; everything else, and everything that goes wrong, is
// for Disk's own calls.
#pragma once

#include <vdisk/disk.h>

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "base/io_gate.h"
#include "io/io_engine.h"

namespace vdisk {

/// One read or write under way. Owner: the caller; it stays where it is until `done` was called, and can be
/// used again then.
class AsyncTransfer {
 public:
  /// Called by IoEngine::drive(). `moved` is false when anything went wrong: the caller then makes Disk's own
  /// call, which tries again and finds the words. A write that failed so may have moved a part.
  void (*done)(AsyncTransfer& transfer, bool moved) = nullptr;

 private:
  friend bool start_read(const Disk&, IoEngine&, DiskOffset, std::span<std::byte>, AsyncTransfer&);
  friend bool start_write(const Disk&, IoEngine&, DiskOffset, std::span<std::byte>, AsyncTransfer&);
  static constexpr std::size_t kMostParts = 8;

  bool add(const class File& file, IoOperation::Kind kind, FileOffset at,
           std::span<std::byte> bytes) noexcept;
  bool go(IoEngine& engine) noexcept;
  void give_up() noexcept;
  static void part_done(IoOperation& operation, long result) noexcept;

  std::array<IoOperation, kMostParts> parts_;
  std::size_t count_ = 0;
  std::size_t pending_ = 0;
  bool moved_ = true;
  std::optional<IoGate::Pass> pass_;
};

/// Starts what Disk::read does; the engine's submit() sends it. False, and nothing started, when it cannot be
/// done so.
bool start_read(const Disk& disk, IoEngine& engine, DiskOffset at, std::span<std::byte> into,
                AsyncTransfer& transfer);

/// Starts what Disk::write does. Only over what the leaf holds already, so that nothing but payload changes;
/// and only once a Disk::write or Disk::write_zeroes has succeeded since the disk was opened.
/// After a failure that ended writing for good, overwrites still succeed here; the next Disk::flush tells.
/// **Durability:** as Disk::write.
bool start_write(const Disk& disk, IoEngine& engine, DiskOffset at, std::span<std::byte> from,
                 AsyncTransfer& transfer);

/// True when the disk's leaf can be read and written so.
bool can_transfer(const Disk& disk) noexcept;

}  // namespace vdisk
