// SPDX-License-Identifier: Apache-2.0
#include "attach/device_state.h"

#include "attach/faults.h"
#include "attach/loop_device.h"
#include "attach/nbd_device.h"

namespace vdisk::attach {

DeviceState device_state(const std::string& node, FileIdentity backing) {
  return is_nbd(node) ? nbd_state(node, backing) : loop_state(node, backing);
}

Status may_attach() {
  Status may = may_attach_loop();
  if (may || may.error().id() == faults::kNoPrivilege.id || no_nbd()) return may;
  return {};
}

}  // namespace vdisk::attach
