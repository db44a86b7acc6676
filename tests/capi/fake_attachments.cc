// SPDX-License-Identifier: Apache-2.0
#include "fake_attachments.h"

#include <unistd.h>

#include <list>
#include <optional>
#include <string>
#include <utility>

#include "attach/registry.h"
#include "capi/attachment_service.h"
#include "io/host_disk.h"
#include "io/posix_file.h"

namespace vdisk::testing {
namespace {

struct Live {
  AttachmentInfo info;
  Disk disk;  // with the image's lock
  attach::PublishedRecord record;
};

std::list<Live> live;
fake_options last;
unsigned next_failure = 0;
bool busy = false;
unsigned made = 0;
std::string next_device;
std::string next_partition;

Error failure(unsigned code) {
  // One row per code that is used; rows live for ever.
  static constexpr Fault kPrivilege{"test.privilege", 1314, "Privilege."};
  static constexpr Fault kBusy{"test.busy", 170, "Busy."};
  static constexpr Fault kNotFound{"test.not_found", 1168, "Not found."};
  const Fault* row = code == 1314 ? &kPrivilege : code == 170 ? &kBusy : &kNotFound;
  return {*row, "the fake was told to fail"};
}

/// Ends the attachment with this device with itself.
class Ending {
 public:
  explicit Ending(std::string node) : node_(std::move(node)) {}
  ~Ending() {
    std::erase_if(live, [this](const Live& one) { return one.info.device_node == node_; });
  }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

 private:
  const std::string node_;
};

Result<std::shared_ptr<void>> attach_fake(const std::string& path, const AttachOptions& options) {
  last = {options.open.writable,
          options.read_only,
          options.permanent,
          options.partitions,
          options.at_boot,
          options.range.has_value(),
          options.range ? options.range->at.bytes : 0,
          options.range ? options.range->length : 0};
  if (next_failure != 0) return std::unexpected(failure(std::exchange(next_failure, 0)));
  OpenOptions open = options.open;
  open.writable = !options.read_only;
  Disk disk = VDISK_TRY(Disk::open(path, open));
  const std::string node =
      next_device.empty() ? "/dev/fake" + std::to_string(made) : std::exchange(next_device, {});
  ++made;
  AttachmentInfo info{.image_path = path,
                      .device_node = node,
                      .partitions = {},
                      .provider = AttachProvider::kLoop,
                      .format = disk.format(),
                      .read_only = options.read_only,
                      .permanent = options.permanent,
                      .process = static_cast<std::uint64_t>(::getpid()),
                      .size_bytes = disk.geometry().virtual_size_bytes,
                      .logical_sector_bytes = disk.geometry().logical_sector_bytes};
  if (!next_partition.empty()) info.partitions.push_back(std::exchange(next_partition, {}));
  const auto file = VDISK_TRY(open_posix_file(path, {.writable = false, .lock = false, .trace = {}}));
  attach::AttachmentRecord text{info, VDISK_TRY(file->identity()), {}};
  auto record = VDISK_TRY(attach::publish(text));
  live.push_back({std::move(info), std::move(disk), std::move(record)});
  if (options.permanent) return std::shared_ptr<void>();
  return std::make_shared<Ending>(node);
}

Status detach_fake(const std::string& device_node) {
  if (busy) return std::unexpected(failure(170));
  const auto gone = std::erase_if(live, [&](const Live& one) { return one.info.device_node == device_node; });
  if (gone == 0) return std::unexpected(failure(1168));
  return {};
}

Result<std::vector<AttachmentInfo>> list_fakes() {
  std::vector<AttachmentInfo> infos;
  for (const Live& one : live) infos.push_back(one.info);
  return infos;
}

constexpr capi::AttachmentService kFakes = {
    .attach = attach_fake, .detach = detach_fake, .attachments = list_fakes};

[[maybe_unused]] const bool in_place = [] {
  capi::set_attachment_service(&kFakes);
  return true;
}();

}  // namespace
}  // namespace vdisk::testing

using namespace vdisk::testing;  // NOLINT

fake_options fake_last_options() { return last; }
int fake_count() { return static_cast<int>(live.size()); }
void fake_fail_next_attach(unsigned code) { next_failure = code; }
void fake_set_busy(int now) { busy = now != 0; }
void fake_end_all() { live.clear(); }
int fake_next_device_of(const char* path, int as_partition) {
  const auto node = vdisk::block_node_of(path);
  if (node) (as_partition != 0 ? next_partition : next_device) = *node;
  return node.has_value() ? 1 : 0;
}
