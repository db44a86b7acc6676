// SPDX-License-Identifier: Apache-2.0
#include "capi/attachment_service.h"

#include <atomic>

#include "capi/faults.h"

namespace vdisk::capi {

namespace {

constexpr AttachmentService kService = {
    .attach = [](const std::string&, const AttachOptions&) -> Result<std::shared_ptr<void>> {
      return fail(faults::kNotBuilt, "attaching is not built yet");
    },
    .detach = [](const std::string&) -> Status {
      return fail(faults::kNotBuilt, "detaching is not built yet");
    },
    .attachments = []() -> Result<std::vector<AttachmentInfo>> { return std::vector<AttachmentInfo>(); },
};

std::atomic<const AttachmentService*> chosen{&kService};

}  // namespace

const AttachmentService& attachment_service() noexcept { return *chosen.load(std::memory_order_relaxed); }

void set_attachment_service(const AttachmentService* service) noexcept {
  chosen.store(service == nullptr ? &kService : service, std::memory_order_relaxed);
}

}  // namespace vdisk::capi
