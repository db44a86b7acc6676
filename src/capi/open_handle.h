// SPDX-License-Identifier: Apache-2.0
//
// The object behind the handle of a virtual disk, and who holds its image: the handle itself, or the server
// of an attachment.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/disk.h>
#include <virtdisk.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "attach/registry.h"
#include "base/fault.h"
#include "base/mutex.h"
#include "capi/access.h"
#include "capi/handle_table.h"
#include "capi/operations.h"
#include "io/file.h"

namespace vdisk::capi {

/// ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST: the handle itself reads and writes this part of the disk.
struct RawAttachment {
  DiskRange range;
  bool read_only = false;
};

/// The public members are set before the object gets its handle and never change after, `operations` apart.
/// What changes is who
/// holds the image. While a handle holds it, the handle has a Disk and with it the image's lock.
/// AttachVirtualDisk lets go of it, because the server of the attachment needs that lock; from then on, and
/// for a handle that is opened on an attached image from the first, each call that asks about the image opens
/// it for the time of the call, without a lock. Once the attachment is gone, whoever ended it, the next call
/// takes the image back. Thread rule: any thread.
class OpenHandle final : public HandleObject {
 public:
  std::string path;  ///< The image, absolute: it is opened again and again, wherever the process goes.
  FormatId format = FormatId::kVhd;
  FileIdentity identity;  ///< Of the image file: what finds its attachment.
  Access access;
  OpenOptions options;  ///< With which the image is opened; parents are looked for in the same way.
  std::uint32_t open_flags = 0;
  std::unique_ptr<File>
      blank;              ///< Set for a file opened with BLANK_FILE: keeps its lock. There is no image then.
  Operations operations;  ///< Those that were given an OVERLAPPED.

  const Waitable* waitable() const noexcept override { return &operations; }

  /// Before the handle exists: opens the image and holds it or, if `attached`, only looks whether it can be
  /// opened.
  Status open(bool attached);

  /// Calls `use` with the image, which is not let go meanwhile. Fails as Disk::open when it has to be opened.
  /// REQUIRES: not blank.
  Status look(const std::function<Status(const Disk&)>& use) const;

  /// The attachment that a server serves, if there is one. One by NO_LOCAL_HOST has none.
  Result<std::optional<attach::AttachmentRecord>> attachment() const;
  /// Whether this handle or a server has the image attached.
  Result<bool> attached() const;

  /// Lets go of the image and has it attached; takes it back if that fails. Fails with capi.attached_already
  /// (32).
  Status attach(const AttachOptions& how) const;
  /// Reads and writes go through this handle from now on. Fails as attach().
  Status attach_raw(const RawAttachment& how) const;
  /// Ends the attachment, whoever made it, and takes the image back as far as that is possible. Fails with
  /// capi.not_attached (1168).
  Status detach() const;
  /// Calls `use` with the image and what of it is attached raw. Fails with capi.raw.not_raw (22).
  Status use_raw(const std::function<Status(const Disk&, const RawAttachment&)>& use) const;

 private:
  /// Attaching and coming back go by the path, which must still mean the same file.
  Status check_same_file() const;
  Status take_back() const VDISK_REQUIRES(gate_);
  Status check_not_attached() const VDISK_REQUIRES(gate_);

  mutable SharedMutex gate_;  ///< Held shared while the Disk is in use.
  mutable std::optional<Disk> disk_ VDISK_GUARDED_BY(gate_);
  mutable std::optional<RawAttachment> raw_ VDISK_GUARDED_BY(gate_);
  /// An attachment of this process that ends with the last handle to the image.
  mutable std::shared_ptr<void> lasting_ VDISK_GUARDED_BY(gate_);
};

std::string absolute_path(const std::string& path);

/// The virtual disk behind `handle`, or the error capi.handle (6).
Result<std::shared_ptr<const OpenHandle>> open_handle(HANDLE handle);
/// The same for functions whose pages ask for ERROR_INVALID_PARAMETER (virtdisk-api.md 3.3, 3.4): or the
/// error capi.not_a_virtual_disk (87).
Result<std::shared_ptr<const OpenHandle>> virtual_disk(HANDLE handle);

/// Fails with capi.right (5) when the handle was opened without `right`, called `name`.
Status need_right(const OpenHandle& handle, std::uint32_t right, const char* name);

}  // namespace vdisk::capi
