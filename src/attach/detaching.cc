// SPDX-License-Identifier: Apache-2.0
#include "attach/detaching.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "attach/block_nodes.h"
#include "attach/device_reader.h"
#include "attach/device_state.h"
#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// Whoever watches devices (udev, desktop programs) has a new one open for a moment.
constexpr int kPatienceMilliseconds = 1000;
/// udev looks at what it was told of (udev.h), and certainly comes to an end, but on a busy machine not soon.
constexpr int kUdevMilliseconds = 20'000;
constexpr int kStepMilliseconds = 20;
constexpr int kLookMilliseconds = 500;

std::unexpected<Error> busy(const std::string& node, const std::vector<std::string>& users) {
  std::string who;
  for (const std::string& user : users) who += (who.empty() ? "" : ", ") + user;
  if (who.empty()) who = "somebody has claimed it; a file system may be mounted in another mount namespace";
  return fail(faults::kBusy, "{}: is in use: {}", node, who);
}

/// Whether udev's workers are all who is named; under their names of today and of earlier versions.
bool udev_alone(const std::vector<std::string>& users) {
  return !users.empty() && std::ranges::all_of(users, [](const std::string& user) {
    return user.contains(" is open in (udev-worker) ") || user.contains(" is open in systemd-udevd ");
  });
}

/// Who uses the device, besides those who serve it.
std::vector<std::string> strangers(const ProvidedDevice& device) {
  const std::array own = {::getpid(), device.companion().process};
  return users_of(device.node(), own);
}

/// The device, claimed, with no other user.
Result<UniqueFd> claim_alone(const ProvidedDevice& device, bool read_only) {
  const std::string& node = device.node();
  for (int waited = 0;; waited += kStepMilliseconds) {
    auto claimed = claim(node, read_only);
    const auto users = strangers(device);
    if (claimed && users.empty()) return *std::move(claimed);
    // A mount does not go away by waiting; a claim that nobody has is one that just ended.
    const int patience = udev_alone(users) ? kUdevMilliseconds : kPatienceMilliseconds;
    if ((!claimed && !users.empty()) || waited >= patience) return busy(node, users);
    claimed.reset();
    ::poll(nullptr, 0, kStepMilliseconds);
  }
}

/// An errno, or 0.
int flush(ProvidedDevice& device, int fd) {
  DeviceReader flushing(fd, [fd] { return ::fsync(fd) == 0 ? 0 : errno; });
  if (!flushing.started()) return errno;
  for (;;) {
    std::array<pollfd, 2> waiting = {{{flushing.ended_fd(), POLLIN, 0}, {device.ended_fd(), POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return flushing.finish();
    if (waiting[1].revents != 0) static_cast<void>(device.revive());
  }
}

}  // namespace

Status take_away(ProvidedDevice& device, bool read_only, Manner manner) {
  const std::string node = device.node();  // which goes with the device
  UniqueFd claimed;
  const bool force = manner == Manner::kForce;
  if (force) {
    device.abort();
  } else {
    claimed = VDISK_TRY(claim_alone(device, read_only));
    const int error = manner == Manner::kOrderly && !read_only ? flush(device, claimed.get()) : 0;
    if (error != 0) {
      return fail_errno(faults::kDevice, error,
                        "flushing {}; what was written last may be lost, 'vdisk detach --force' gives it up",
                        node);
    }
  }
  if (!remove_partitions(device.fd(), node) && !force) return busy(node, strangers(device));
  claimed.reset();
  return device.remove();
}

void outlast_users(const std::string& node, FileIdentity backing) {
  while (device_state(node, backing) == DeviceState::kOurs) ::poll(nullptr, 0, kLookMilliseconds);
  const auto claimed = claim(node, /*read_only=*/true);
  if (claimed && device_state(node, backing) == DeviceState::kFree) remove_partitions(claimed->get(), node);
}

}  // namespace vdisk::attach
