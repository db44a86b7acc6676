// SPDX-License-Identifier: Apache-2.0
//
// GetVirtualDiskPhysicalPath and GetAllAttachedVirtualDiskPhysicalPaths (virtdisk-api.md 3.5, 3.6).
#include <virtdisk.h>

#include <cstring>
#include <string>

#include "capi/attachment_service.h"
#include "capi/faults.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/wide.h"

namespace vdisk::capi {

namespace {

// `text` with all its terminators; a NULL buffer has no room at all.
Status give_text(std::wstring_view text, ULONG* size, WCHAR* buffer) {
  const ULONG given = buffer == nullptr ? 0 : *size;
  const std::size_t needed = text.size() * sizeof(WCHAR);
  *size = static_cast<ULONG>(needed);
  if (given < needed)
    return fail(faults::kBufferSize, "the answer needs {} bytes, the buffer has {}", needed, given);
  std::memcpy(buffer, text.data(), needed);
  return {};
}

Status get_physical_path(HANDLE handle, ULONG* size, WCHAR* buffer) {
  const auto object = VDISK_TRY(virtual_disk(handle));
  if (size == nullptr || (buffer == nullptr && *size != 0))
    return fail(faults::kPathArguments, "DiskPathSizeInBytes and DiskPath must not be NULL");
  VDISK_TRY(need_right(*object, VIRTUAL_DISK_ACCESS_GET_INFO, "VIRTUAL_DISK_ACCESS_GET_INFO"));
  const auto attachment = VDISK_TRY(object->attachment());
  if (!attachment)
    return fail(faults::kNoDevice, "{}: is not attached as a device, so there is no path to it",
                object->path);
  return give_text(to_wide(attachment->device_node) + L'\0', size, buffer);
}

Status get_all_paths(ULONG* size, WCHAR* buffer) {
  if (size == nullptr) return fail(faults::kPathArguments, "PathsBufferSizeInBytes must not be NULL");
  std::wstring text;
  for (const AttachmentInfo& info : VDISK_TRY(attachment_service().attachments())) {
    text += to_wide(info.image_path);
    text += L'\0';
  }
  // Nothing attached is a success even where there is no buffer at all (3.6: samples look at a NULL buffer
  // then).
  if (text.empty() && (buffer == nullptr || *size < sizeof(WCHAR))) {
    *size = 0;
    return {};
  }
  return give_text(text + L'\0', size, buffer);
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI GetVirtualDiskPhysicalPath(HANDLE VirtualDiskHandle, PULONG DiskPathSizeInBytes,
                                        PWSTR DiskPath) {
  return vdisk::capi::api_call(
      [&] { return vdisk::capi::get_physical_path(VirtualDiskHandle, DiskPathSizeInBytes, DiskPath); });
}

DWORD WINAPI GetAllAttachedVirtualDiskPhysicalPaths(PULONG PathsBufferSizeInBytes, PWSTR PathsBuffer) {
  return vdisk::capi::api_call(
      [&] { return vdisk::capi::get_all_paths(PathsBufferSizeInBytes, PathsBuffer); });
}
