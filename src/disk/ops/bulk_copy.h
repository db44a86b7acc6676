// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/operations.h>

#include <cstdint>
#include <vector>

#include "base/fault.h"
#include "disk/ops/content.h"
#include "format/bulk_writer.h"
#include "io/file.h"

namespace vdisk::ops {

struct BulkCopyJob {
  const Content& content;
  const Disk* parent = nullptr;      ///< The target's: only what differs from it is written.
  std::uint32_t sector_bytes = 512;  ///< The target's logical sectors, in which differences are counted.
  File& target;
  BulkWriter& writer;
  std::vector<bool>
      shares;  ///< For each layer of the source, whether the target can share blocks with its file.
  ZeroSearch zeros = ZeroSearch::kUnlessShared;
  unsigned jobs = 1;
};

/// Fills the target, but for BulkWriter::finish. Pieces are read, searched and written by several threads;
/// places are given in the disk's order, so that the same source makes the same file whatever the threads do.
Status copy_in_bulk(const BulkCopyJob& job, const OperationControl& control);

}  // namespace vdisk::ops
