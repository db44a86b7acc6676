// SPDX-License-Identifier: Apache-2.0
#include "capi/storage_type.h"

#include <cstring>

#include "capi/faults.h"

namespace vdisk::capi {

namespace {

bool is_vendor(const GUID& vendor, const GUID& known) noexcept {
  return std::memcmp(&vendor, &known, sizeof known) == 0;
}

}  // namespace

Result<std::optional<FormatId>> wanted_format(const VIRTUAL_STORAGE_TYPE& type) {
  if (!is_vendor(type.VendorId, VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN) &&
      !is_vendor(type.VendorId, VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT)) {
    return fail(faults::kProvider,
                "VendorId is neither VENDOR_MICROSOFT nor VENDOR_UNKNOWN: no provider is known for it");
  }
  switch (type.DeviceId) {
    case VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN:
      return std::nullopt;
    case VIRTUAL_STORAGE_TYPE_DEVICE_ISO:
    case VIRTUAL_STORAGE_TYPE_DEVICE_VHD:
    case VIRTUAL_STORAGE_TYPE_DEVICE_VHDX:
    case VIRTUAL_STORAGE_TYPE_DEVICE_VHDSET:
      return static_cast<FormatId>(type.DeviceId);
    default:
      return fail(faults::kProvider, "DeviceId {} is unknown; 0 (unknown) to 4 (VHD set) exist",
                  type.DeviceId);
  }
}

}  // namespace vdisk::capi
