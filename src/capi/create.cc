// SPDX-License-Identifier: Apache-2.0
//
// CreateVirtualDisk: arguments, path, host, creation, then an open with the model of the version used
// (virtdisk-api.md 2, 3.2).
#include <unistd.h>
#include <vdisk/operations.h>
#include <virtdisk.h>

#include <cstring>
#include <utility>

#include "capi/access.h"
#include "capi/create_rules.h"
#include "capi/faults.h"
#include "capi/host_rules.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/overlapped.h"
#include "capi/storage_type.h"
#include "capi/wide.h"
#include "disk/host_path.h"
#include "disk/impl.h"
#include "format/registry.h"
#include "io/posix_file.h"

namespace vdisk::capi {

namespace {

Guid from_win32(const GUID& guid) noexcept {
  Guid out;
  static_assert(sizeof guid == sizeof out.bytes);  // a little-endian host keeps a GUID as VHDX does
  std::memcpy(out.bytes.data(), &guid, sizeof guid);
  return out;
}

Result<std::string> text_of(const WCHAR* wide, const char* member) {
  const std::optional<std::string> text = to_utf8(wide);
  if (!text || text->empty()) {
    return fail(faults::kPathText, "{} is {}", member, text ? "empty" : "not valid Unicode text");
  }
  return *text;
}

Result<CreateOptions> options_of(const CreateRequest& request, const CreateMembers& members) {
  CreateOptions options;
  options.format = VDISK_TRY(wanted_format(*request.storage_type));
  const bool full = (request.flags & CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION) != 0;
  if (full) {
    options.type = DiskType::kFixed;
    const bool sparse = (request.flags & CREATE_VIRTUAL_DISK_FLAG_SPARSE_FILE) != 0;
    options.preallocation = sparse ? Preallocation::kSparse : Preallocation::kFull;
  }
  options.virtual_size_bytes = members.maximum_size;
  options.block_bytes = members.block_bytes;
  options.logical_sector_bytes = members.sector_bytes;
  options.physical_sector_bytes = members.physical_sector_bytes;
  const Guid identifier = from_win32(members.unique_id);
  if (!identifier.is_zero()) options.identifier = identifier;
  if (members.parent != nullptr) {
    options.parent = VDISK_TRY(text_of(members.parent, "ParentPath"));
    options.parent_format = VDISK_TRY(wanted_format(members.parent_type));
  }
  options.parents = ParentSearch::from_environment();
  return options;
}

/// SourcePath may be an image or a physical disk (virtdisk-api.md 3.2), which here is a block device and has
/// no format.
Result<Disk> open_source(const CreateMembers& members, const ParentSearch& parents) {
  OpenOptions how;
  how.parents = parents;
  const std::string text = VDISK_TRY(text_of(members.source, "SourcePath"));
  const std::string path = VDISK_TRY(host_path(text, parents));
  how.format = format_for(path, VDISK_TRY(wanted_format(members.source_type)));
  return Disk::open(path, how);
}

/// What SourceLimitPath makes of a copy: a child of that member of the source's chain, which holds what is
/// newer.
Status limit_copy(const CreateRequest& request, const CreateMembers& members, const Disk& source,
                  CreateOptions& options) {
  if (members.source_limit == nullptr) return {};
  if ((request.flags & CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT) != 0) {
    return fail(faults::kCreateNotTracked,
                "SourceLimitPath is a change tracking id, but the changes of the source are not tracked");
  }
  const std::string text = VDISK_TRY(text_of(members.source_limit, "SourceLimitPath"));
  const std::string path = VDISK_TRY(host_path(text, options.parents));
  const auto limit = VDISK_TRY(open_posix_file(path, {.writable = false, .lock = false, .trace = {}}));
  const FileIdentity identity = VDISK_TRY(limit->identity());
  const Chain& chain = source.impl().chain;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (VDISK_TRY(chain.layer(i).image->file().identity()) != identity) continue;
    options.parent = path;
    options.parent_format = source.format();
    return {};
  }
  return fail(faults::kCreateLimitNotMember, "{}: is no member of the chain of {}", path,
              chain.layer(0).path);
}

/// `options`: what the open that follows is to know of it.
Status make(const CreateRequest& request, const CreateMembers& members, const std::string& path,
            CreateOptions& options) {
  if (members.source == nullptr) return create(path, options, {});
  const Disk source = VDISK_TRY(open_source(members, options.parents));
  VDISK_TRY(limit_copy(request, members, source, options));
  ConvertOptions how;
  how.target = options;
  return convert(source, path, how, {});
}

/// The handle: version 1 has the rights of the mask, later ones all of them.
Result<HANDLE> open_created(const CreateRequest& request, const CreateMembers& members,
                            const std::string& path, const CreateOptions& made, OverlappedCall& call) {
  auto object = std::make_shared<OpenHandle>();
  object->access = members.version == 1
                       ? access_of_version_1(request.access_mask, OPEN_VIRTUAL_DISK_RW_DEPTH_DEFAULT)
                       : access_of_version_2(false, false);
  object->path = absolute_path(path);
  object->open_flags = members.open_flags;
  object->options.format = made.format;
  object->options.writable = object->access.writable;
  object->options.parents = made.parents;
  object->options.parents.ignore_relative =
      (members.open_flags & OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR) != 0;
  object->options.no_parents =
      (members.open_flags & (OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS | OPEN_VIRTUAL_DISK_FLAG_CUSTOM_DIFF_CHAIN)) !=
      0;
  {
    const std::unique_ptr<File> file =
        VDISK_TRY(open_posix_file(path, {.writable = false, .lock = false, .trace = {}}));
    object->identity = VDISK_TRY(file->identity());
  }
  auto opened = object->open(false);
  if (!opened && opened.error().code() == ERROR_SHARING_VIOLATION && !made.parent.empty()) {
    // The parent's own handle is still open: a child is made all the same (virtdisk-api.md 3.2).
    object->options.lock = LockMode::kLeafOnly;
    opened = object->open(false);
  }
  VDISK_TRY(std::move(opened));
  const auto note_format = [&](const Disk& disk) -> Status {
    object->format = disk.format();
    return {};
  };
  VDISK_TRY(object->look(note_format));
  call.runs_on(object);
  return HandleTable::instance().add(std::move(object));
}

Result<HANDLE> create_virtual_disk(const CreateRequest& request, OverlappedCall& call) {
  VDISK_TRY(validate(request, current_contract()));
  const CreateMembers members = members_of(*request.parameters);
  const std::string text = VDISK_TRY(text_of(request.path, "Path"));
  CreateOptions options = VDISK_TRY(options_of(request, members));
  const std::string path = VDISK_TRY(host_path(text, options.parents));
  VDISK_TRY(check_host_rules_of_new_file(path, request.flags));
  VDISK_TRY(make(request, members, path, options));
  auto handle = open_created(request, members, path, options, call);
  if (!handle) ::unlink(path.c_str());  // a failed call leaves nothing behind
  return handle;
}

}  // namespace

}  // namespace vdisk::capi

// The security descriptor has no meaning here: the new file belongs to its maker, and the umask says who else
// reads it.
DWORD WINAPI CreateVirtualDisk(PVIRTUAL_STORAGE_TYPE VirtualStorageType, PCWSTR Path,
                               VIRTUAL_DISK_ACCESS_MASK VirtualDiskAccessMask, PSECURITY_DESCRIPTOR,
                               CREATE_VIRTUAL_DISK_FLAG Flags, ULONG ProviderSpecificFlags,
                               PCREATE_VIRTUAL_DISK_PARAMETERS Parameters, LPOVERLAPPED Overlapped,
                               PHANDLE Handle) {
  vdisk::capi::OverlappedCall call(Overlapped, vdisk::capi::OverlappedCall::Kind::kDiskOperation);
  return call.run([&]() -> vdisk::Status {
    const vdisk::capi::CreateRequest request{.storage_type = VirtualStorageType,
                                             .path = Path,
                                             .access_mask = static_cast<std::uint32_t>(VirtualDiskAccessMask),
                                             .flags = static_cast<std::uint32_t>(Flags),
                                             .provider_flags = ProviderSpecificFlags,
                                             .parameters = Parameters,
                                             .handle = Handle};
    *Handle = VDISK_TRY(vdisk::capi::create_virtual_disk(request, call));  // untouched on failure
    return {};
  });
}
