// SPDX-License-Identifier: Apache-2.0
//
// What is behind a Disk, for the operations of this library.
#pragma once

#include <vdisk/disk.h>

#include <atomic>

#include "chain/chain.h"

namespace vdisk::inline v1 {

struct Disk::Impl {
  Impl(Chain opened, const OpenOptions& options)
      : chain(std::move(opened)),
        geometry(chain.leaf().properties().geometry),
        format(chain.leaf().format().id),
        type(chain.leaf().properties().type),
        parents(options.parents),
        strict_tracking(options.strict_tracking),
        trace(options.trace),
        writable(options.writable) {}
  ~Impl();

  const Chain chain;
  const DiskGeometry geometry;
  const FormatId format;
  const DiskType type;
  const ParentSearch parents;  ///< For info(): where parents that were not opened would be looked for.
  const bool strict_tracking;
  const TraceSink trace;
  std::atomic<bool> writable;  ///< Until close().
  std::atomic<bool> tracking_checked{false};
  std::atomic<bool> written{false};  ///< A write has succeeded: the image knows that it is being changed.
};

}  // namespace vdisk::inline v1

namespace vdisk {

/// Once per open disk, before its first change: what Hyper-V recorded about changes does not know of ours.
/// Warns, or fails with disk.stale_tracking.
Status before_first_write(Disk::Impl& disk);

}  // namespace vdisk
