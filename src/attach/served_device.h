// SPDX-License-Identifier: Apache-2.0
//
// What the devices have in common that a worker serves: the keeper's part. It never reads or writes the
// image. It holds the files for their locks alone, so that nobody can take the image between two workers; and
// the memory of what no flush covers yet.
#pragma once

#include <vdisk/types.h>

#include <string>
#include <vector>

#include "attach/provider.h"
#include "attach/worker.h"

namespace vdisk::attach {

class ServedDevice : public ProvidedDevice {
 public:
  const Companion& companion() const noexcept final { return worker_; }
  Status revive() final { return replace(await_companion(worker_)); }
  Status renew() final;
  Status remove() final;
  void bequeath(Estate& estate) const override;

 protected:
  ServedDevice(AttachRequest request, DiskRange range, std::vector<UniqueFd> files, UniqueFd intents)
      : request_(std::move(request)), range_(range), files_(std::move(files)), intents_(std::move(intents)) {}

  const AttachRequest& request() const noexcept { return request_; }
  bool read_only() const noexcept { return request_.options.read_only; }
  DiskRange range() const noexcept { return range_; }
  int intents() const noexcept { return intents_.get(); }
  const Companion& worker() const noexcept { return worker_; }
  void set_worker(Companion worker) { worker_ = std::move(worker); }

  /// Starts a worker in the place of one that has ended, and gives it the device. Fails with
  /// attach.server_died when it is killed meanwhile.
  virtual Status start_successor() = 0;
  /// Whether a worker ended so because its connection was taken from it; it has closed the image then.
  virtual bool is_disconnected(const Error&) const noexcept { return false; }
  /// Nobody will answer any more: everything that waits fails.
  virtual void give_up() noexcept = 0;
  /// Lets the device go, which the worker still serves; as ProvidedDevice::remove.
  virtual Status remove_device() = 0;

 private:
  Status replace(Status ended);

  const AttachRequest request_;
  const DiskRange range_;
  std::vector<UniqueFd> files_;
  UniqueFd intents_;
  Companion worker_;
  RestartLimit limit_;
};

/// The range of the disk that an attachment shows.
inline DiskRange shown_range(const AttachRequest& request, const AttachmentInfo& info) noexcept {
  return {request.options.range ? request.options.range->at : DiskOffset{0}, info.size_bytes};
}

}  // namespace vdisk::attach
