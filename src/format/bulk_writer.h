// SPDX-License-Identifier: Apache-2.0
//
// Filling a new image all at once. While a file has no name yet nobody can see it half done, so nothing in it
// needs an order, a log or a flush of its own: blocks are handed out one behind the other in the order of the
// disk, and tables are written once, as they become final.
#pragma once

#include <vdisk/control.h>
#include <vdisk/types.h>

#include <cstdint>
#include <vector>

#include "base/fault.h"
#include "io/file.h"

namespace vdisk {

/// A piece of payload and its place in the file.
struct Placement {
  DiskRange range;
  FileOffset to;
};

/// Made by Format::begin_bulk. The space that it hands out reads as zeros until the caller writes. Thread
/// rule: one thread at a time; payload may be moved to its places meanwhile. Ranges must ascend and not
/// overlap over all calls of place and place_zeros together, and in differencing images be whole logical
/// sectors.
class BulkWriter {
 public:
  virtual ~BulkWriter() = default;
  BulkWriter() = default;
  BulkWriter(const BulkWriter&) = delete;
  BulkWriter& operator=(const BulkWriter&) = delete;

  /// Appends to `places` where the bytes of `range` go.
  virtual Status place(DiskRange range, std::vector<Placement>& places) = 0;
  /// Makes `range` read as zeros, whatever the parent shows there.
  virtual Status place_zeros(DiskRange range) = 0;
  /// Writes what is left of the tables and gives the file its final length. The last call.
  virtual Status finish() = 0;
};

/// Of images that have a place for every byte from the beginning.
class DirectBulkWriter : public BulkWriter {
 public:
  explicit DirectBulkWriter(FileOffset begin) : begin_(begin) {}
  Status place(DiskRange range, std::vector<Placement>& places) override {
    places.push_back({range, FileOffset{begin_.bytes + range.at.bytes}});
    return {};
  }
  Status place_zeros(DiskRange) override { return {}; }
  Status finish() override { return {}; }

 private:
  const FileOffset begin_;
};

}  // namespace vdisk
