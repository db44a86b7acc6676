// SPDX-License-Identifier: Apache-2.0
//
// The contract of OpenVirtualDisk as data: three levels, and one table of rules in the order in which Windows
// (as far as is known) applies them, so that a call that breaks two rules fails as it does there.
#pragma once

#include <virtdisk.h>

#include <optional>
#include <string_view>

#include "base/fault.h"

namespace vdisk::capi {

/// One level of the contract (virtdisk-api.md 7).
struct Contract {
  std::string_view name;
  std::uint32_t newest_version;      ///< Of OPEN_VIRTUAL_DISK_PARAMETERS.
  std::uint32_t flags_of_version_1;  ///< Also for NULL parameters.
  std::uint32_t flags_of_later_versions;
  std::uint32_t newest_create_version;  ///< Of CREATE_VIRTUAL_DISK_PARAMETERS.
  std::uint32_t create_flags;
  std::uint32_t newest_attach_version;  ///< Of ATTACH_VIRTUAL_DISK_PARAMETERS.
  std::uint32_t attach_flags;
  bool iso;                         ///< An ISO provider exists.
  bool refuses_compressed_volumes;  ///< A whole volume mounted with compression counts as compressed.
};

/// windows10 (default), page2018, windows7.
std::span<const Contract> contracts() noexcept;
const Contract* find_contract(std::string_view name) noexcept;

/// The process-wide level: VirtdiskSetContract, else VIRTDISK_CONTRACT, else windows10. Thread rule: any.
const Contract& current_contract() noexcept;
void set_current_contract(const Contract& contract) noexcept;

/// The arguments of one OpenVirtualDisk call.
struct OpenRequest {
  const VIRTUAL_STORAGE_TYPE* storage_type;
  const WCHAR* path;
  std::uint32_t access_mask;
  std::uint32_t flags;
  const OPEN_VIRTUAL_DISK_PARAMETERS* parameters;
  const HANDLE* handle;

  /// NULL parameters behave as version 1 with the default depth (virtdisk-api.md 1.1).
  std::uint32_t version() const noexcept { return parameters == nullptr ? 1 : parameters->Version; }
};

/// Runs the table; the first rule that is broken is the error.
Status validate(const OpenRequest& request, const Contract& contract);

}  // namespace vdisk::capi
