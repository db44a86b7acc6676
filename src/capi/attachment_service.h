// SPDX-License-Identifier: Apache-2.0
//
// The way from the C API to attached disks. The product has one service, <vdisk/attachment.h>; tests put one
// in its place that needs neither root nor devices, so that every rule of attaching is tried everywhere.
#pragma once

#include <vdisk/attachment.h>

#include <memory>
#include <string>
#include <vector>

namespace vdisk::capi {

struct AttachmentService {
  /// Attachment::attach. The object keeps an attachment that is not permanent alive; its end detaches the
  /// disk.
  Result<std::shared_ptr<void>> (*attach)(const std::string& path, const AttachOptions& options);
  /// vdisk::detach, by the device node.
  Status (*detach)(const std::string& device_node);
  /// vdisk::attachments.
  Result<std::vector<AttachmentInfo>> (*attachments)();
};

const AttachmentService& attachment_service() noexcept;
/// For tests; before the first call of the API. Null: the product's service again.
void set_attachment_service(const AttachmentService* service) noexcept;

}  // namespace vdisk::capi
