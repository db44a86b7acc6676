// SPDX-License-Identifier: Apache-2.0
//
// The partitions of an attached disk follow its partition table: whoever wrote to the device (sfdisk, parted,
// dd) closes it, and then the table is read again. Kernels that were built without partition scanning cannot
// do it themselves.
#pragma once

#include <vdisk/attachment.h>

#include <string>
#include <vector>

#include "attach/device_reader.h"
#include "attach/provider.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

/// Makes the partitions of the device those of the table on it, and returns their nodes. What is wrong with
/// the table, and what the kernel refuses, is told in `refused`. Waits as long as the device lets a reader
/// wait.
std::vector<std::string> follow_table(const ProvidedDevice& device, const AttachmentInfo& info,
                                      std::vector<std::string>& refused);

/// Thread rule: the keeper's one thread. Owner: the keeper.
class PartitionWatch {
 public:
  /// Where the system does not tell of closed files, nothing is ever followed. `changed`: the table may have
  /// changed already.
  PartitionWatch(const std::string& node, bool changed);
  PartitionWatch(const PartitionWatch&) = delete;
  PartitionWatch& operator=(const PartitionWatch&) = delete;

  /// Readable when look() is due.
  int closed_fd() const noexcept { return events_.get(); }
  int finished_fd() const noexcept { return reader_.ended_fd(); }
  /// Somebody may have closed the device, or a reading have ended. A reading is a process of its own. True
  /// when the partitions may have changed since the last call.
  bool look(const ProvidedDevice& device, const AttachmentInfo& info);
  /// Whether a reading is under way.
  bool reading() const noexcept { return reader_.started(); }

 private:
  bool take_events() noexcept;

  UniqueFd events_;
  DeviceReader reader_;
  bool wanted_ = false;  ///< Somebody has closed the device since the last reading began.
};

}  // namespace vdisk::attach
