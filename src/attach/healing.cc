// SPDX-License-Identifier: Apache-2.0
#include "attach/healing.h"

#include "attach/block_nodes.h"
#include "attach/device_state.h"
#include "attach/udev.h"

namespace vdisk::attach {

namespace {

/// The kernel cleared the device itself when its last user went; its partitions stay, as no kernel removes
/// those that it did not find itself. False while somebody uses the device.
bool clean_device(const AttachmentRecord& record) {
  {
    // While it is claimed, nobody can give it a new file.
    const auto claimed = claim(record.device_node, /*read_only=*/true);
    const DeviceState state = device_state(record.device_node, record.backing);
    // Whatever somebody else's device shows is theirs.
    if (state == DeviceState::kForeign) return true;
    if (!claimed) return false;
    remove_partitions(claimed->get(), record.device_node);
  }
  return device_state(record.device_node, record.backing) != DeviceState::kOurs;
}

}  // namespace

Result<std::vector<FoundRecord>> heal(const RegistryOptions& options) {
  auto records = all_records(options);
  if (!records) return records;
  std::vector<FoundRecord> alive;
  for (FoundRecord& found : *records) {
    if (found.alive) {
      alive.push_back(std::move(found));
    } else if (clean_device(found.record)) {
      remove_record(found);
      announce(found.record.device_node);
    }
  }
  return alive;
}

}  // namespace vdisk::attach
