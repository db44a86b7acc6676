// SPDX-License-Identifier: Apache-2.0
//
// Handles: numbers that stand for open disks. A stale or invented handle is recognised, never followed.
#pragma once

#include <vdisk/disk.h>
#include <virtdisk.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "capi/access.h"
#include "io/file.h"

namespace vdisk::capi {

/// What one handle stands for. Immutable once it is in the table; shared by the calls that use it, so that a
/// close beside a running call ends it after that call.
struct OpenHandle {
  std::string path;             ///< The image, as a path here.
  std::optional<Disk> disk;     ///< Unset for a file opened with BLANK_FILE.
  std::unique_ptr<File> blank;  ///< Set for one: keeps its lock.
  FormatId format = FormatId::kVhd;
  FileIdentity identity;  ///< Of the image file: what finds its attachment.
  Access access;
  OpenOptions options;  ///< With which `disk` was opened; parents are looked for in the same way.
};

/// Thread rule: any thread. Handles are process-wide, non-zero multiples of 4 (as on Windows), and not used
/// again soon: each carries a generation number.
class HandleTable {
 public:
  static HandleTable& instance();

  HANDLE add(std::shared_ptr<const OpenHandle> object);
  /// Null when the handle is not open.
  std::shared_ptr<const OpenHandle> find(HANDLE handle) const;
  /// False when the handle is not open.
  bool remove(HANDLE handle);

 private:
  struct Slot {
    std::uint32_t generation = 1;
    std::shared_ptr<const OpenHandle> object;
  };
  Slot* slot_of(HANDLE handle) const VDISK_REQUIRES(mutex_);

  mutable Mutex mutex_;
  mutable std::vector<Slot> slots_ VDISK_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ VDISK_GUARDED_BY(mutex_);
};

/// The object behind `handle`, or the error capi.handle (6).
Result<std::shared_ptr<const OpenHandle>> open_handle(HANDLE handle);

}  // namespace vdisk::capi
