// SPDX-License-Identifier: Apache-2.0
//
// The library's own additions to the C API.
#include <vdisk/version.h>
#include <virtdisk.h>

#include "capi/contract.h"
#include "capi/faults.h"
#include "capi/last_error.h"

DWORD VirtdiskSetContract(const char* name) {
  return vdisk::capi::api_call([&]() -> vdisk::Status {
    const vdisk::capi::Contract* contract = name == nullptr ? nullptr : vdisk::capi::find_contract(name);
    if (contract == nullptr) {
      return vdisk::fail(vdisk::capi::faults::kContractName,
                         "contract '{}' is unknown; use windows10, page2018 or windows7",
                         name == nullptr ? "(null)" : name);
    }
    vdisk::capi::set_current_contract(*contract);
    return {};
  });
}

const char* VirtdiskGetContract(void) { return vdisk::capi::current_contract().name.data(); }

const char* VirtdiskVersion(void) { return VDISK_VERSION_STRING; }
