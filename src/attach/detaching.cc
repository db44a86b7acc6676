// SPDX-License-Identifier: Apache-2.0
#include "attach/detaching.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "attach/block_nodes.h"
#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// Whoever watches devices (udev, desktop programs) has a new one open for a moment.
constexpr int kPatienceMilliseconds = 500;
constexpr int kStepMilliseconds = 20;

std::unexpected<Error> busy(const std::string& node, const std::vector<std::string>& users) {
  std::string who;
  for (const std::string& user : users) who += (who.empty() ? "" : ", ") + user;
  if (who.empty()) who = "somebody has claimed it; a file system may be mounted in another mount namespace";
  return fail(faults::kBusy, "{}: is in use: {}", node, who);
}

/// The device, claimed, with no other user.
Result<UniqueFd> claim_alone(const std::string& node, bool read_only) {
  for (int waited = 0;; waited += kStepMilliseconds) {
    auto claimed = claim(node, read_only);
    const auto users = users_of(node, ::getpid());
    if (claimed && users.empty()) return *std::move(claimed);
    // A mount does not go away by waiting.
    if (!claimed || waited >= kPatienceMilliseconds) return busy(node, users);
    claimed.reset();
    ::poll(nullptr, 0, kStepMilliseconds);
  }
}

}  // namespace

Status take_away(ProvidedDevice& device, bool read_only, bool force) {
  const std::string node = device.node();
  UniqueFd claimed;
  if (force) {
    device.abort();
  } else {
    claimed = VDISK_TRY(claim_alone(node, read_only));
    if (!read_only && ::fsync(claimed.get()) != 0) {
      return fail_errno(faults::kDevice, errno,
                        "flushing {}; what was written last may be lost, 'vdisk detach --force' gives it up",
                        node);
    }
  }
  if (!remove_partitions(device.fd(), node) && !force) return busy(node, users_of(node, ::getpid()));
  claimed.reset();
  return device.remove();
}

}  // namespace vdisk::attach
