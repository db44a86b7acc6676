// SPDX-License-Identifier: Apache-2.0
#include "capi/attachment_service.h"

#include <atomic>
#include <utility>

#include "base/fault.h"

namespace vdisk::capi {

namespace {

Result<std::shared_ptr<void>> attach_disk(const std::string& path, const AttachOptions& options) {
  auto attachment = std::make_shared<Attachment>(VDISK_TRY(Attachment::attach(path, options)));
  // A permanent one lives by itself.
  return options.permanent ? std::shared_ptr<void>() : std::shared_ptr<void>(std::move(attachment));
}

constexpr AttachmentService kService = {
    .attach = attach_disk,
    .detach = [](const std::string& device_node) { return vdisk::detach(device_node); },
    .attachments = vdisk::attachments,
};

std::atomic<const AttachmentService*> chosen{&kService};

}  // namespace

const AttachmentService& attachment_service() noexcept { return *chosen.load(std::memory_order_relaxed); }

void set_attachment_service(const AttachmentService* service) noexcept {
  chosen.store(service == nullptr ? &kService : service, std::memory_order_relaxed);
}

}  // namespace vdisk::capi
