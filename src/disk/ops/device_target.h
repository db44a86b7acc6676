// SPDX-License-Identifier: Apache-2.0
//
// A block device as the target of a conversion: what was there before must go, and what lies behind the disk
// stays.
#pragma once

#include <vdisk/control.h>
#include <vdisk/operations.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fault.h"
#include "format/bulk_writer.h"
#include "io/file.h"

namespace vdisk::ops {

/// `options` as they are for a device, which takes the bytes of the disk alone; convert.device.kind for
/// others.
Result<ConvertOptions> options_for_device(const std::string& path, const ConvertOptions& options);

/// The device for this process alone. Fails with convert.device.small when it holds fewer than `size` bytes,
/// with io.locked when it is mounted or in use.
Result<std::unique_ptr<File>> open_device_target(const std::string& path, std::uint64_t size);

/// Gives each byte its own offset, and clears what lies between the places that it gives out.
class DeviceWriter final : public BulkWriter {
 public:
  DeviceWriter(File& device, std::uint64_t size, const OperationControl& control)
      : device_(device), size_(size), control_(control) {}

  Status place(DiskRange range, std::vector<Placement>& places) override;
  Status place_zeros(DiskRange range) override { return clear_up_to(range.end()); }
  Status finish() override { return clear_up_to(size_); }

 private:
  Status clear_up_to(std::uint64_t end);

  File& device_;
  const std::uint64_t size_;
  const OperationControl& control_;
  std::uint64_t done_ = 0;  ///< Before it everything has been placed or cleared.
};

}  // namespace vdisk::ops
