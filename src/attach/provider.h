// SPDX-License-Identifier: Apache-2.0
//
// The ways to make a block device of an image, behind one small interface. The table of providers is the only
// list of them, best first; each says by itself whether it can serve an image here.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/disk.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/companion.h"
#include "attach/estate.h"
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
  /// The process beside this one, which serves the device or stands by.
  virtual const Companion& companion() const noexcept = 0;
  /// Becomes readable when that was killed; -1 when there is none any more.
  int ended_fd() const noexcept { return companion().ended.get(); }
  /// After that: puts a successor in its place, which answers what was not answered; users notice a pause.
  /// Where it fails, the device fails everything from now on, and ended_fd() is -1.
  virtual Status revive() = 0;
  /// Lets what serves the device end in order, and puts a successor in its place, of this version of the
  /// program. Fails as revive().
  virtual Status renew() = 0;
  /// Lets the device go, waits until it is gone, and closes the image. Fails with attach.device when somebody
  /// still uses it (it goes with its last user then), and with whatever closing the image says.
  /// **Durability:** as Disk::close.
  virtual Status remove() = 0;
  /// Fails all that waits for the device, and everything from now on.
  virtual void abort() noexcept = 0;

  /// Adds what a successor of this process needs to go on with the device (Provider::adopt).
  virtual void bequeath(Estate& estate) const = 0;
  /// Leaves what `everything` makes, which is all of this process's, with the companion, and with each that
  /// will take its place.
  void entrust(std::function<Estate()> everything) {
    everything_ = std::move(everything);
    entrust_again();
  }

 protected:
  /// After something has changed, or a new companion begun.
  void entrust_again() const {
    if (everything_ && companion().socket) companion().entrust(everything_());
  }

 private:
  std::function<Estate()> everything_;
};

/// The files of a disk, open for the sake of their locks: who keeps them open keeps everyone else out.
std::vector<UniqueFd> hold_files(const Disk& disk);

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
  /// Goes on with a device that another process made, and that bequeathed it.
  Result<std::unique_ptr<ProvidedDevice>> (*adopt)(const AttachRequest& request, const AttachmentInfo& info,
                                                   Estate& estate);
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

/// The device of an estate, which was made by provide() in another process. Fails with attach.foreign_answer.
Result<std::unique_ptr<ProvidedDevice>> adopt(const AttachRequest& request, const AttachmentInfo& info,
                                              Estate& estate);

}  // namespace vdisk::attach
