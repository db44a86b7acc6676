// SPDX-License-Identifier: Apache-2.0
//
// AttachVirtualDisk and DetachVirtualDisk (virtdisk-api.md 2, 3.3, 3.4).
#include <virtdisk.h>

#include "capi/attach_rules.h"
#include "capi/faults.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/overlapped.h"

namespace vdisk::capi {

namespace {

// Without effect here, each for a reason of its own: NO_DRIVE_LETTER (nothing is mounted by itself),
// NO_SECURITY_DESCRIPTOR (devices get the system's permissions), BYPASS_DEFAULT_ENCRYPTION_POLICY (there is
// none).
AttachOptions options_for(const AttachRequest& request, const OpenHandle& handle) {
  AttachOptions how;
  how.open = handle.options;
  how.open.format = handle.format;
  how.read_only = request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY);
  how.permanent = request.has(ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME);
  how.at_boot = request.has(ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT);
  // With SINGLE_PARTITION the device is the partition.
  how.partitions = !request.has(ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION) &&
                   (!request.has(ATTACH_VIRTUAL_DISK_FLAG_NON_PNP) ||
                    request.has(ATTACH_VIRTUAL_DISK_FLAG_REGISTER_VOLUME));
  return how;
}

/// What of the disk is shown; unset: all of it.
Result<std::optional<DiskRange>> examine_disk(const AttachRequest& request, const OpenHandle& handle,
                                              std::uint64_t& disk_bytes) {
  std::optional<DiskRange> range;
  const auto examine = [&](const Disk& disk) -> Status {
    if (disk.type() == DiskType::kDifferencing && handle.options.no_parents) {
      return fail(faults::kAttachNoParents, "{}: the handle was opened without the disk's parents",
                  handle.path);
    }
    disk_bytes = disk.geometry().virtual_size_bytes;
    range = VDISK_TRY(shown_range(request, disk));
    return {};
  };
  VDISK_TRY(handle.look(examine));
  return range;
}

Status attach_virtual_disk(HANDLE handle, const AttachRequest& request, OverlappedCall& call) {
  const auto object = VDISK_TRY(virtual_disk(handle));
  call.runs_on(object);
  VDISK_TRY(validate(request, *object, current_contract()));
  std::uint64_t disk_bytes = 0;
  const std::optional<DiskRange> range = VDISK_TRY(examine_disk(request, *object, disk_bytes));
  if (request.has(ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST)) {
    return object->attach_raw({.range = range.value_or(DiskRange{DiskOffset{0}, disk_bytes}),
                               .read_only = request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY)});
  }
  AttachOptions how = options_for(request, *object);
  how.range = range;
  return object->attach(how);
}

Status detach_virtual_disk(HANDLE handle, std::uint32_t flags, std::uint32_t provider_flags) {
  const auto object = VDISK_TRY(virtual_disk(handle));
  if (flags != DETACH_VIRTUAL_DISK_FLAG_NONE)
    return fail(faults::kFlags, "Flags is {:#x}; only NONE exists", flags);
  if (provider_flags != 0) {
    return fail(faults::kProviderFlags, "ProviderSpecificFlags is {:#x}; no provider here knows any",
                provider_flags);
  }
  VDISK_TRY(need_right(*object, VIRTUAL_DISK_ACCESS_DETACH, "VIRTUAL_DISK_ACCESS_DETACH"));
  return object->detach();
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI AttachVirtualDisk(HANDLE VirtualDiskHandle, PSECURITY_DESCRIPTOR, ATTACH_VIRTUAL_DISK_FLAG Flags,
                               ULONG ProviderSpecificFlags, PATTACH_VIRTUAL_DISK_PARAMETERS Parameters,
                               LPOVERLAPPED Overlapped) {
  vdisk::capi::OverlappedCall call(Overlapped, vdisk::capi::OverlappedCall::Kind::kDiskOperation);
  return call.run([&] {
    return vdisk::capi::attach_virtual_disk(VirtualDiskHandle,
                                            {.flags = static_cast<std::uint32_t>(Flags),
                                             .provider_flags = ProviderSpecificFlags,
                                             .parameters = Parameters},
                                            call);
  });
}

DWORD WINAPI DetachVirtualDisk(HANDLE VirtualDiskHandle, DETACH_VIRTUAL_DISK_FLAG Flags,
                               ULONG ProviderSpecificFlags) {
  return vdisk::capi::api_call([&] {
    return vdisk::capi::detach_virtual_disk(VirtualDiskHandle, static_cast<std::uint32_t>(Flags),
                                            ProviderSpecificFlags);
  });
}
