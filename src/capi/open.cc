// SPDX-License-Identifier: Apache-2.0
//
// OpenVirtualDisk: arguments, path, host, attachment, format, in this order (virtdisk-api.md 3.1).
#include <virtdisk.h>

#include "capi/access.h"
#include "capi/contract.h"
#include "capi/faults.h"
#include "capi/host_rules.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/storage_type.h"
#include "capi/wide.h"
#include "disk/host_path.h"
#include "format/registry.h"
#include "io/posix_file.h"

namespace vdisk::capi {

namespace {

// The members of the union may be uninitialised where a client sets Version alone (Wine's tests do, 1.6):
// BOOLs are read as numbers, never as bool.
Access access_of(const OpenRequest& request) noexcept {
  switch (request.version()) {
    case 1: {
      const ULONG depth = request.parameters == nullptr ? OPEN_VIRTUAL_DISK_RW_DEPTH_DEFAULT
                                                        : request.parameters->Version1.RWDepth;
      return access_of_version_1(request.access_mask, depth);
    }
    case 2:
      return access_of_version_2(request.parameters->Version2.GetInfoOnly != FALSE,
                                 request.parameters->Version2.ReadOnly != FALSE);
    default:
      return access_of_version_2(request.parameters->Version3.GetInfoOnly != FALSE,
                                 request.parameters->Version3.ReadOnly != FALSE);
  }
}

Status check_iso(const OpenRequest& request, const Contract& contract, const std::string& path) {
  if (!contract.iso) {
    return fail(faults::kIsoContract, "{}: is an ISO image, which the {} contract does not know", path,
                contract.name);
  }
  if (request.version() != 1) {
    return fail(faults::kIsoVersion,
                "{}: an ISO image opens with version 1 parameters or NULL, not with version {}", path,
                request.version());
  }
  if ((request.flags & (OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS | OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE)) != 0) {
    return fail(faults::kIsoFlags, "{}: Flags {:#x} does not apply to an ISO image", path, request.flags);
  }
  if ((request.access_mask & VIRTUAL_DISK_ACCESS_WRITABLE) != 0) {
    return fail(faults::kIsoAccess,
                "{}: an ISO image is never written; use VIRTUAL_DISK_ACCESS_READ, not {:#010x}", path,
                request.access_mask);
  }
  return {};
}

// Whether the image is attached, and whether this open may come beside that (virtdisk-api.md 2, 3.1, 7 T21
// and T22). Handles of version 2 and 3 always may: they name no rights, and with them Microsoft's samples
// detach.
Result<bool> check_attachment(const OpenRequest& request, const OpenHandle& object) {
  const auto attachment = VDISK_TRY(object.attachment());
  if (!attachment) return false;
  if (request.version() != 1) return true;
  const Access& access = object.access;
  if (!attachment->permanent) {
    // The attaching handle is still open, and holds more than DETACH and GET_INFO. Two readers may share.
    std::uint32_t shared = VIRTUAL_DISK_ACCESS_DETACH | VIRTUAL_DISK_ACCESS_GET_INFO;
    if (attachment->read_only) shared |= VIRTUAL_DISK_ACCESS_ATTACH_RO;
    if ((access.rights & ~shared) == 0) return true;
    return fail(
        faults::kAttachedShared,
        "{}: is attached as {} by a handle that is still open; the access mask {:#010x} asks for more than "
        "{:#010x}",
        object.path, attachment->device_node, access.rights, shared);
  }
  if (!access.allows(VIRTUAL_DISK_ACCESS_DETACH)) {
    return fail(
        faults::kAttachedNeedsDetach,
        "{}: is attached permanently as {}; add VIRTUAL_DISK_ACCESS_DETACH to the access mask {:#010x}",
        object.path, attachment->device_node, access.rights);
  }
  if (attachment->read_only && access.writable) {
    return fail(faults::kAttachedReadOnly,
                "{}: is attached read-only as {}; the access mask {:#010x} asks to write", object.path,
                attachment->device_node, access.rights);
  }
  return true;
}

OpenOptions options_for(const OpenRequest& request, const Access& access, std::optional<FormatId> format) {
  OpenOptions options;
  options.format = format;
  options.writable = access.writable;
  // A custom chain is built by AddVirtualDiskParent from the leaf alone.
  options.no_parents =
      (request.flags & (OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS | OPEN_VIRTUAL_DISK_FLAG_CUSTOM_DIFF_CHAIN)) != 0;
  options.parents = ParentSearch::from_environment();
  options.parents.ignore_relative =
      (request.flags & OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR) != 0;
  return options;
}

// BLANK_FILE: the file is taken as it is, and nothing in it is verified.
Status open_blank(OpenHandle& object, File& file) {
  const Format* format =
      object.options.format ? &format_by_id(*object.options.format) : format_by_extension(object.path);
  if (format == nullptr) {
    return fail(faults::kProvider, "{}: the extension names no format; pass a DeviceId with BLANK_FILE",
                file.name());
  }
  object.format = format->id;
  object.blank = VDISK_TRY(open_posix_file(object.path, {.writable = object.access.writable, .trace = {}}));
  return {};
}

Result<HANDLE> open_virtual_disk(const OpenRequest& request) {
  const Contract& contract = current_contract();
  VDISK_TRY(validate(request, contract));
  const Access access = access_of(request);
  const std::optional<std::string> text = to_utf8(request.path);
  if (!text || text->empty())
    return fail(faults::kPathText, "Path is {}", text ? "empty" : "not valid Unicode text");

  auto object = std::make_shared<OpenHandle>();
  object->access = access;
  object->open_flags = request.flags;
  object->path = absolute_path(VDISK_TRY(host_path(*text, ParentSearch::from_environment())));
  const std::unique_ptr<File> file =
      VDISK_TRY(open_posix_file(object->path, {.writable = false, .lock = false, .trace = {}}));
  VDISK_TRY(check_host_rules(object->path, request.flags, contract));
  object->identity = VDISK_TRY(file->identity());
  const bool attached = VDISK_TRY(check_attachment(request, *object));

  object->options = options_for(request, access, VDISK_TRY(wanted_format(*request.storage_type)));
  const bool blank = (request.flags & OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE) != 0;
  if (blank && object->options.format != FormatId::kIso) {
    const Format* named = format_by_extension(object->path);
    if (object->options.format || named == nullptr || named->id != FormatId::kIso) {
      VDISK_TRY(open_blank(*object, *file));
      return HandleTable::instance().add(std::move(object));
    }
  }
  // An ISO by type or extension is judged by ISO's rules even where its content is damaged.
  const Format* named =
      object->options.format ? &format_by_id(*object->options.format) : format_by_extension(object->path);
  if (named != nullptr && named->id == FormatId::kIso) VDISK_TRY(check_iso(request, contract, object->path));
  const Format* format = VDISK_TRY(detect_format(*file, object->path, object->options.format));
  if (format->id == FormatId::kIso) VDISK_TRY(check_iso(request, contract, object->path));

  object->format = format->id;
  VDISK_TRY(object->open(attached));
  return HandleTable::instance().add(std::move(object));
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI OpenVirtualDisk(PVIRTUAL_STORAGE_TYPE VirtualStorageType, PCWSTR Path,
                             VIRTUAL_DISK_ACCESS_MASK VirtualDiskAccessMask, OPEN_VIRTUAL_DISK_FLAG Flags,
                             POPEN_VIRTUAL_DISK_PARAMETERS Parameters, PHANDLE Handle) {
  return vdisk::capi::api_call([&]() -> vdisk::Status {
    const vdisk::capi::OpenRequest request{.storage_type = VirtualStorageType,
                                           .path = Path,
                                           .access_mask = static_cast<std::uint32_t>(VirtualDiskAccessMask),
                                           .flags = static_cast<std::uint32_t>(Flags),
                                           .parameters = Parameters,
                                           .handle = Handle};
    *Handle = VDISK_TRY(vdisk::capi::open_virtual_disk(request));  // untouched on failure
    return {};
  });
}
