// SPDX-License-Identifier: Apache-2.0
//
// What is behind a Disk, for the operations of this library.
#pragma once

#include <vdisk/disk.h>

#include "chain/chain.h"

namespace vdisk::inline v1 {

struct Disk::Impl {
  explicit Impl(Chain opened, ParentSearch search)
      : chain(std::move(opened)),
        geometry(chain.leaf().properties().geometry),
        format(chain.leaf().format().id),
        type(chain.leaf().properties().type),
        parents(std::move(search)) {}

  const Chain chain;
  const DiskGeometry geometry;
  const FormatId format;
  const DiskType type;
  const ParentSearch parents;  ///< For info(): where parents that were not opened would be looked for.
};

}  // namespace vdisk::inline v1
