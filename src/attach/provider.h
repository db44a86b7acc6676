// SPDX-License-Identifier: Apache-2.0
//
// The ways to make a block device of an image, behind one small interface. The table of providers is the only
// list of them, best first; each says by itself whether it can serve an image here.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/disk.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/message.h"
#include "io/file.h"

namespace vdisk::attach {

/// A block device that shows an image, with all that serves it. Owner: the attachment's server. When it is
/// destroyed, or its process killed, the device goes as soon as nobody uses it.
class ProvidedDevice {
 public:
  virtual ~ProvidedDevice() = default;

  virtual const std::string& node() const noexcept = 0;
  virtual int fd() const noexcept = 0;
  virtual FileIdentity backing() const noexcept = 0;
  /// A descriptor that becomes readable when what serves the device ended by itself; -1 where nothing can.
  virtual int ended_fd() const noexcept { return -1; }
  /// Lets the device go, waits until it is gone, and closes the image. Fails with attach.device when somebody
  /// still uses it (it goes with its last user then), and with whatever closing the image says.
  /// **Durability:** as Disk::close.
  virtual Status remove() = 0;
  /// Fails all that waits for the device, and everything from now on, where the provider can.
  virtual void abort() noexcept {}
};

/// An open disk, and what is to be shown of it.
struct DiskToServe {
  Disk disk;
  const AttachRequest& request;
  DiskRange range;
};

struct Provider {
  AttachProvider id;
  /// Why it cannot serve this disk here; unset if it can.
  Result<std::optional<std::string>> (*refusal)(const DiskToServe& what);
  /// Makes the device. REQUIRES: no refusal.
  Result<std::unique_ptr<ProvidedDevice>> (*make)(DiskToServe what);
};

std::span<const Provider* const> providers() noexcept;

struct Provided {
  std::unique_ptr<ProvidedDevice> device;
  AttachmentInfo info;             ///< All but what the keeper knows: partitions and process.
  std::vector<std::string> notes;  ///< Why this provider and none before it.
};

/// Opens the image and makes a device of it by the best provider, or by the one that is asked for. Fails as
/// Disk::open, with attach.range, and with attach.provider when the one that is asked for cannot.
Result<Provided> provide(const AttachRequest& request, const TraceSink& trace);

}  // namespace vdisk::attach
