// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/disk.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "base/fault.h"
#include "disk/impl.h"
#include "io/file.h"

namespace vdisk::ops {

/// Tells whether two extents are the same bytes of the same file: children of one parent share most of what
/// they show.
class SharedFiles {
 public:
  static Result<SharedFiles> find(const Disk& a, const Disk& b) {
    SharedFiles shared;
    VDISK_TRY(identify(a, shared.a_));
    VDISK_TRY(identify(b, shared.b_));
    return shared;
  }
  /// REQUIRES: both extents begin at the same place of their disks.
  bool same(const Extent& a, const Extent& b) const {
    return a.source == Extent::Source::kData && b.source == Extent::Source::kData && a.from == b.from &&
           a.layer < a_.size() && b.layer < b_.size() && a_[a.layer] == b_[b.layer];
  }

 private:
  static Status identify(const Disk& disk, std::vector<FileIdentity>& identities) {
    for (std::size_t i = 0; i < disk.layer_count(); ++i) {
      const Image& image = *disk.impl().chain.layer(i).image;
      identities.push_back(VDISK_TRY(image.file().identity()));
      // The same file seen through its dirty log need not be the same bytes for both.
      if (image.properties().dirty_log) identities.back() = {~std::uint64_t{0}, unique(disk, i)};
    }
    return {};
  }
  static std::uint64_t unique(const Disk& disk, std::size_t layer) {
    return std::bit_cast<std::uintptr_t>(disk.impl().chain.layer(layer).image.get());
  }

  std::vector<FileIdentity> a_;
  std::vector<FileIdentity> b_;
};

}  // namespace vdisk::ops
