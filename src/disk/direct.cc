// SPDX-License-Identifier: Apache-2.0
#include "disk/direct.h"

#include <vector>

#include "disk/guarded.h"
#include "disk/impl.h"

namespace vdisk {

Result<std::optional<DirectRange>> find_direct_range(const Disk& disk, DiskRange range) {
  // Two pieces tell that there is more than one.
  std::vector<Extent> extents;
  VDISK_TRY(disk.extents(range, extents, 2));
  const File& file = disk.impl().chain.leaf().file();
  if (extents.size() != 1 || extents.front().source != Extent::Source::kData || extents.front().layer != 0 ||
      extents.front().range != range || file.fd() < 0) {
    return std::nullopt;
  }
  return DirectRange{.fd = file.fd(), .from = extents.front().from};
}

Status begin_direct_writes(const Disk& disk) {
  return guarded([&]() -> Status {
    VDISK_TRY(before_first_write(disk.impl()));
    Image& leaf = disk.impl().chain.leaf();
    RunList runs;
    const IoGate::Pass pass = leaf.io_gate().enter();
    // The ticket is of a place that is there already; abandoned, it leaves nothing but the session that it
    // began.
    VDISK_TRY(leaf.resolve_write({{0}, disk.geometry().logical_sector_bytes}, runs));
    return {};
  });
}

}  // namespace vdisk
