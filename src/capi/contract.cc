// SPDX-License-Identifier: Apache-2.0
#include "capi/contract.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "capi/faults.h"

namespace vdisk::capi {

namespace {

constexpr std::uint32_t kFlagsOf2018 = OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS | OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE;
// Every flag of the header but BOOT_DRIVE, which is for kernel callers (virtdisk-api.md 4, 7 T9).
constexpr std::uint32_t kFlagsOfHeader =
    kFlagsOf2018 | OPEN_VIRTUAL_DISK_FLAG_CACHED_IO | OPEN_VIRTUAL_DISK_FLAG_CUSTOM_DIFF_CHAIN |
    OPEN_VIRTUAL_DISK_FLAG_PARENT_CACHED_IO | OPEN_VIRTUAL_DISK_FLAG_VHDSET_FILE_ONLY |
    OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR | OPEN_VIRTUAL_DISK_FLAG_NO_WRITE_HARDENING |
    OPEN_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES | OPEN_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS |
    OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES;

// The reference page of CreateVirtualDisk knows FULL_PHYSICAL_ALLOCATION alone, and versions 1 and 2 (3.2).
constexpr std::uint32_t kCreateFlagsOfHeader =
    (CREATE_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS << 1) - 1;

// The reference page of AttachVirtualDisk ends with BYPASS_DEFAULT_ENCRYPTION_POLICY, and knows version 1
// (3.3).
constexpr std::uint32_t kAttachFlagsOfPage =
    (ATTACH_VIRTUAL_DISK_FLAG_BYPASS_DEFAULT_ENCRYPTION_POLICY << 1) - 1;
constexpr std::uint32_t kAttachFlagsOfHeader = (ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT << 1) - 1;

constexpr Contract kContracts[] = {
    {.name = "windows10",
     .newest_version = 3,
     .flags_of_version_1 = kFlagsOf2018,
     .flags_of_later_versions = kFlagsOfHeader,
     .newest_create_version = 4,
     .create_flags = kCreateFlagsOfHeader,
     .newest_attach_version = 2,
     .attach_flags = kAttachFlagsOfHeader,
     .iso = true,
     .refuses_compressed_volumes = false},
    {.name = "page2018",
     .newest_version = 1,
     .flags_of_version_1 = kFlagsOf2018,
     .flags_of_later_versions = 0,
     .newest_create_version = 2,
     .create_flags = CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION,
     .newest_attach_version = 1,
     .attach_flags = kAttachFlagsOfPage,
     .iso = true,
     .refuses_compressed_volumes = true},
    {.name = "windows7",
     .newest_version = 1,
     .flags_of_version_1 = kFlagsOf2018,
     .flags_of_later_versions = 0,
     .newest_create_version = 1,
     .create_flags = CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION,
     .newest_attach_version = 1,
     .attach_flags = kAttachFlagsOfPage,
     .iso = false,
     .refuses_compressed_volumes = true},
};

std::uint32_t valid_flags(const OpenRequest& request, const Contract& contract) noexcept {
  return request.version() == 1 ? contract.flags_of_version_1 : contract.flags_of_later_versions;
}

struct Rule {
  const Fault& fault;
  bool (*broken)(const OpenRequest&, const Contract&);
  std::string (*sentence)(const OpenRequest&, const Contract&);
};

// In this order: pointers, mask, version, flags, then what ties version and mask together
// (virtdisk-api.md 3.1, "Recommended validation order", consistent with Wine's tests; 7 T25: all of it before
// the path is looked up).
constexpr Rule kRules[] = {
    {faults::kStorageTypeNull,
     [](const OpenRequest& r, const Contract&) { return r.storage_type == nullptr; },
     [](const OpenRequest&, const Contract&) {
       return std::string("VirtualStorageType is NULL: pass a VIRTUAL_STORAGE_TYPE");
     }},
    {faults::kPathNull, [](const OpenRequest& r, const Contract&) { return r.path == nullptr; },
     [](const OpenRequest&, const Contract&) { return std::string("Path is NULL: pass the image's path"); }},
    {faults::kHandleNull, [](const OpenRequest& r, const Contract&) { return r.handle == nullptr; },
     [](const OpenRequest&, const Contract&) {
       return std::string("Handle is NULL: pass a HANDLE to fill in");
     }},
    {faults::kAccessMask,
     [](const OpenRequest& r, const Contract&) {
       return (r.access_mask & ~std::uint32_t{VIRTUAL_DISK_ACCESS_ALL}) != 0;
     },
     [](const OpenRequest& r, const Contract&) {
       return fmt::format("VirtualDiskAccessMask {:#010x} has the unknown bits {:#010x} (valid: {:#010x})",
                          r.access_mask, r.access_mask & ~std::uint32_t{VIRTUAL_DISK_ACCESS_ALL},
                          std::uint32_t{VIRTUAL_DISK_ACCESS_ALL});
     }},
    {faults::kVersion,
     [](const OpenRequest& r, const Contract& c) {
       return r.version() < 1 || r.version() > c.newest_version;
     },
     [](const OpenRequest& r, const Contract& c) {
       return fmt::format("Parameters->Version is {}; the {} contract knows 1 to {}", r.version(), c.name,
                          c.newest_version);
     }},
    {faults::kFlags,
     [](const OpenRequest& r, const Contract& c) { return (r.flags & ~valid_flags(r, c)) != 0; },
     [](const OpenRequest& r, const Contract& c) {
       return fmt::format(
           "Flags {:#x} has the bits {:#x}, which version {} of the parameters does not allow in the {} "
           "contract",
           r.flags, r.flags & ~valid_flags(r, c), r.version(), c.name);
     }},
    {faults::kAccessMaskNotNone,
     [](const OpenRequest& r, const Contract&) {
       return r.version() >= 2 && r.access_mask != VIRTUAL_DISK_ACCESS_NONE;
     },
     [](const OpenRequest& r, const Contract&) {
       return fmt::format(
           "version {} parameters go with VIRTUAL_DISK_ACCESS_NONE, not with the mask {:#010x}", r.version(),
           r.access_mask);
     }},
};

std::atomic<const Contract*> chosen{nullptr};

const Contract& contract_from_environment() noexcept {
  const char* name = ::secure_getenv("VIRTDISK_CONTRACT");
  const Contract* found = name == nullptr ? nullptr : find_contract(name);
  return found == nullptr ? kContracts[0] : *found;
}

}  // namespace

std::span<const Contract> contracts() noexcept { return kContracts; }

const Contract* find_contract(std::string_view name) noexcept {
  const auto* found = std::ranges::find(kContracts, name, &Contract::name);
  return found == std::end(kContracts) ? nullptr : found;
}

const Contract& current_contract() noexcept {
  const Contract* contract = chosen.load(std::memory_order_relaxed);
  return contract == nullptr ? contract_from_environment() : *contract;
}

void set_current_contract(const Contract& contract) noexcept {
  chosen.store(&contract, std::memory_order_relaxed);
}

Status validate(const OpenRequest& request, const Contract& contract) {
  for (const Rule& rule : kRules) {
    if (rule.broken(request, contract)) return fail(rule.fault, "{}", rule.sentence(request, contract));
  }
  return {};
}

}  // namespace vdisk::capi
