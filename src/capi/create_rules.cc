// SPDX-License-Identifier: Apache-2.0
#include "capi/create_rules.h"

#include "capi/faults.h"

namespace vdisk::capi {

namespace {

constexpr std::uint32_t kNotBuiltFlags = CREATE_VIRTUAL_DISK_FLAG_PRESERVE_PARENT_CHANGE_TRACKING_STATE |
                                         CREATE_VIRTUAL_DISK_FLAG_VHD_SET_USE_ORIGINAL_BACKING_STORAGE |
                                         CREATE_VIRTUAL_DISK_FLAG_PMEM_COMPATIBLE;

bool set(const WCHAR* text) noexcept { return text != nullptr; }

std::uint32_t version_of(const CreateRequest& request) noexcept { return request.parameters->Version; }

/// REQUIRES: the version is one that exists.
CreateMembers members(const CreateRequest& request) noexcept { return members_of(*request.parameters); }

struct Rule {
  const Fault& fault;
  bool (*broken)(const CreateRequest&, const Contract&);
  std::string (*sentence)(const CreateRequest&, const Contract&);
};

// Pointers, mask, version, flags, then what ties members together: the order of OpenVirtualDisk, *unverified*
// for this function. The reference page names the codes (virtdisk-api.md 3.2).
constexpr Rule kRules[] = {
    {faults::kStorageTypeNull,
     [](const CreateRequest& r, const Contract&) { return r.storage_type == nullptr; },
     [](const CreateRequest&, const Contract&) {
       return std::string("VirtualStorageType is NULL: pass a VIRTUAL_STORAGE_TYPE");
     }},
    {faults::kPathNull, [](const CreateRequest& r, const Contract&) { return r.path == nullptr; },
     [](const CreateRequest&, const Contract&) {
       return std::string("Path is NULL: pass the path of the new image");
     }},
    {faults::kCreateParametersNull,
     [](const CreateRequest& r, const Contract&) { return r.parameters == nullptr; },
     [](const CreateRequest&, const Contract&) {
       return std::string("Parameters is NULL: pass CREATE_VIRTUAL_DISK_PARAMETERS");
     }},
    {faults::kHandleNull, [](const CreateRequest& r, const Contract&) { return r.handle == nullptr; },
     [](const CreateRequest&, const Contract&) {
       return std::string("Handle is NULL: pass a HANDLE to fill in");
     }},
    {faults::kAccessMask,
     [](const CreateRequest& r, const Contract&) {
       return (r.access_mask & ~std::uint32_t{VIRTUAL_DISK_ACCESS_ALL}) != 0;
     },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format("VirtualDiskAccessMask {:#010x} has the unknown bits {:#010x}", r.access_mask,
                          r.access_mask & ~std::uint32_t{VIRTUAL_DISK_ACCESS_ALL});
     }},
    {faults::kVersion,
     [](const CreateRequest& r, const Contract& c) {
       return version_of(r) < 1 || version_of(r) > c.newest_create_version;
     },
     [](const CreateRequest& r, const Contract& c) {
       return fmt::format("Parameters->Version is {}; the {} contract knows 1 to {}", version_of(r), c.name,
                          c.newest_create_version);
     }},
    {faults::kFlags,
     [](const CreateRequest& r, const Contract& c) { return (r.flags & ~c.create_flags) != 0; },
     [](const CreateRequest& r, const Contract& c) {
       return fmt::format("Flags {:#x} has the bits {:#x}, which the {} contract does not know", r.flags,
                          r.flags & ~c.create_flags, c.name);
     }},
    {faults::kProviderFlags, [](const CreateRequest& r, const Contract&) { return r.provider_flags != 0; },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format("ProviderSpecificFlags is {:#x}; no provider here knows any", r.provider_flags);
     }},
    {faults::kAccessMaskNotNone,
     [](const CreateRequest& r, const Contract&) {
       return version_of(r) >= 2 && r.access_mask != VIRTUAL_DISK_ACCESS_NONE;
     },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format(
           "version {} parameters go with VIRTUAL_DISK_ACCESS_NONE, not with the mask {:#010x}",
           version_of(r), r.access_mask);
     }},
    {faults::kCreateOpenFlags,
     [](const CreateRequest& r, const Contract& c) {
       return (members(r).open_flags & ~c.flags_of_later_versions & ~c.flags_of_version_1) != 0;
     },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format("OpenFlags {:#x} has bits that no open knows", members(r).open_flags);
     }},
    {faults::kCreateParentAndSource,
     [](const CreateRequest& r, const Contract&) { return set(members(r).parent) && set(members(r).source); },
     [](const CreateRequest&, const Contract&) {
       return std::string(
           "ParentPath and SourcePath exclude each other: a child begins without data of its own");
     }},
    {faults::kCreateParentAndSize,
     // Version 1 strictly; later versions may make a child larger where the format can (3.2, "recommend").
     [](const CreateRequest& r, const Contract&) {
       const CreateMembers m = members(r);
       return m.version == 1 && set(m.parent) && m.maximum_size != 0;
     },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format("with ParentPath MaximumSize must be 0, not {}: the size is the parent's",
                          members(r).maximum_size);
     }},
    {faults::kCreateParentAndFull,
     [](const CreateRequest& r, const Contract&) {
       return set(members(r).parent) && (r.flags & CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION) != 0;
     },
     [](const CreateRequest&, const Contract&) {
       return std::string("a differencing disk is never allocated in full: drop FULL_PHYSICAL_ALLOCATION");
     }},
    {faults::kCreateSourceLimit,
     [](const CreateRequest& r, const Contract&) {
       const CreateMembers m = members(r);
       const bool tracked = (r.flags & CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT) != 0;
       return (set(m.source_limit) && !set(m.source)) || (tracked && !set(m.source_limit));
     },
     [](const CreateRequest&, const Contract&) {
       return std::string(
           "SourceLimitPath limits what is copied from SourcePath, and its flag says what SourceLimitPath "
           "is: "
           "one of them is NULL");
     }},
    {faults::kCreateNotBuilt,
     [](const CreateRequest& r, const Contract&) {
       const CreateMembers m = members(r);
       return (r.flags & kNotBuiltFlags) != 0 || m.data_alignment != 0;
     },
     [](const CreateRequest& r, const Contract&) {
       return fmt::format("Flags {:#x} or DataAlignment {} ask for something that is not built yet", r.flags,
                          members(r).data_alignment);
     }},
};

template <class Version>
void take_version_2(const Version& from, CreateMembers& members) noexcept {
  members.unique_id = from.UniqueId;
  members.maximum_size = from.MaximumSize;
  members.block_bytes = from.BlockSizeInBytes;
  members.sector_bytes = from.SectorSizeInBytes;
  members.physical_sector_bytes = from.PhysicalSectorSizeInBytes;
  members.parent = from.ParentPath;
  members.source = from.SourcePath;
  members.open_flags = static_cast<std::uint32_t>(from.OpenFlags);
  members.parent_type = from.ParentVirtualStorageType;
  members.source_type = from.SourceVirtualStorageType;
}

}  // namespace

CreateMembers members_of(const CREATE_VIRTUAL_DISK_PARAMETERS& parameters) noexcept {
  CreateMembers members{.version = static_cast<std::uint32_t>(parameters.Version)};
  switch (members.version) {
    case 1:
      members.unique_id = parameters.Version1.UniqueId;
      members.maximum_size = parameters.Version1.MaximumSize;
      members.block_bytes = parameters.Version1.BlockSizeInBytes;
      members.sector_bytes = parameters.Version1.SectorSizeInBytes;
      members.parent = parameters.Version1.ParentPath;
      members.source = parameters.Version1.SourcePath;
      break;
    case 2:
      take_version_2(parameters.Version2, members);
      break;
    case 3:
      take_version_2(parameters.Version3, members);
      members.source_limit = parameters.Version3.SourceLimitPath;
      break;
    default:
      take_version_2(parameters.Version4, members);
      members.source_limit = parameters.Version4.SourceLimitPath;
      members.data_alignment = parameters.Version4.DataAlignment;
      break;
  }
  return members;
}

Status validate(const CreateRequest& request, const Contract& contract) {
  for (const Rule& rule : kRules) {
    if (rule.broken(request, contract)) return fail(rule.fault, "{}", rule.sentence(request, contract));
  }
  return {};
}

}  // namespace vdisk::capi
