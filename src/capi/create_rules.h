// SPDX-License-Identifier: Apache-2.0
//
// The contract of CreateVirtualDisk as data, beside that of OpenVirtualDisk (contract.h).
#pragma once

#include <virtdisk.h>

#include <cstdint>

#include "capi/contract.h"

namespace vdisk::capi {

/// The arguments of one CreateVirtualDisk call.
struct CreateRequest {
  const VIRTUAL_STORAGE_TYPE* storage_type;
  const WCHAR* path;
  std::uint32_t access_mask;
  std::uint32_t flags;
  std::uint32_t provider_flags;
  const CREATE_VIRTUAL_DISK_PARAMETERS* parameters;
  const HANDLE* handle;
};

/// The members that the versions share, and what later versions add; what a version lacks is zero.
struct CreateMembers {
  std::uint32_t version = 0;
  GUID unique_id{};
  std::uint64_t maximum_size = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t sector_bytes = 0;
  std::uint32_t physical_sector_bytes = 0;
  const WCHAR* parent = nullptr;
  const WCHAR* source = nullptr;
  std::uint32_t open_flags = 0;
  VIRTUAL_STORAGE_TYPE parent_type{};
  VIRTUAL_STORAGE_TYPE source_type{};
  const WCHAR* source_limit = nullptr;
  std::uint64_t data_alignment = 0;
};
/// REQUIRES: the request is valid.
CreateMembers members_of(const CREATE_VIRTUAL_DISK_PARAMETERS& parameters) noexcept;

/// Runs the table; the first rule that is broken is the error.
Status validate(const CreateRequest& request, const Contract& contract);

}  // namespace vdisk::capi
