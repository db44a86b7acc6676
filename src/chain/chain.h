// SPDX-License-Identifier: Apache-2.0
//
// A leaf image and all its parents, open and checked against one another.
#pragma once

#include <vdisk/disk.h>

#include <memory>
#include <string>
#include <vector>

#include "chain/read_plan.h"
#include "format/image.h"

namespace vdisk {

/// One file of a chain.
struct Layer {
  std::string path;
  std::unique_ptr<Image> image;
};

class Chain {
 public:
  /// Opens the image at `path` and, unless `options.no_parents`, every parent up to the base: finds each by
  /// the locator policy (parent_search.h), opens it read-only and shared, compares its identity with the
  /// linkage that the child records, bounds the depth and refuses cycles. Errors of a parent keep their own
  /// fault and code (faults.h says why) and carry the frames "opening <child>: parent <path>: …".
  static Result<Chain> open(const std::string& path, const OpenOptions& options);

  /// A chain of images that are open already, leaf first; `complete` as below. REQUIRES: at least one.
  Chain(std::vector<Layer> layers, bool complete);

  std::size_t size() const noexcept { return layers_.size(); }
  /// 0 is the leaf.
  const Layer& layer(std::size_t i) const noexcept { return layers_[i]; }
  Image& leaf() const noexcept { return *layers_.front().image; }
  /// False when the last layer is differencing but its parent was not opened.
  bool complete() const noexcept { return complete_; }

  /// Says where the bytes of `range` are. Fills `plan` (cleared first) from the beginning until the range or
  /// the plan ends; returns the bytes covered (more than 0). Past the end of a smaller parent reads zeros.
  /// REQUIRES: the range is not empty and lies inside the leaf's disk. Thread rule: any number of threads.
  Result<std::uint64_t> plan_read(DiskRange range, ReadPlan& plan) const;

 private:
  /// What a read needs of a layer, close together.
  struct Hop {
    Image* image;
    std::uint64_t size_bytes;
  };
  Result<std::uint64_t> flatten(std::uint32_t layer, const RunList& runs, ReadPlan& plan) const;

  std::vector<Layer> layers_;
  std::vector<Hop> hops_;
  bool complete_ = true;
};

}  // namespace vdisk
