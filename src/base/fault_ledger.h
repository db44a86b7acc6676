// SPDX-License-Identifier: Apache-2.0
//
// The ledger of provoked faults. Test builds (VDISK_FAULT_LEDGER) append the id of every fault that occurs to
// the file named by the environment variable VDISK_FAULT_LEDGER, once per process and id; a test then fails
// when a row of the catalogue was never provoked. Other builds compile this to nothing.
#pragma once

#include <string_view>

namespace vdisk {

#ifdef VDISK_FAULT_LEDGER
void record_fault_in_ledger(std::string_view id) noexcept;
#else
inline void record_fault_in_ledger(std::string_view) noexcept {}
#endif

}  // namespace vdisk
