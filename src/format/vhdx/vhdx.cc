// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/vhdx.h"

#include <algorithm>
#include <array>

#include "format/vhdx/bulk.h"
#include "format/vhdx/check.h"
#include "format/vhdx/create.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/header.h"
#include "format/vhdx/image.h"
#include "format/vhdx/log_faults.h"

namespace vdisk::vhdx {

namespace {

Result<Probe> probe(File& file) { return VDISK_TRY(has_identifier(file)) ? Probe::kYes : Probe::kNo; }

constexpr auto kFaults = [] {
  std::array<const Fault*, std::size(faults::kAll) + std::size(faults::kLog)> all{};
  std::ranges::copy(faults::kLog, std::ranges::copy(faults::kAll, all.begin()).out);
  return all;
}();

constexpr std::string_view kExtensions[] = {"vhdx", "avhdx"};

}  // namespace

const Format kFormat = {
    .id = FormatId::kVhdx,
    .name = "vhdx",
    .extensions = kExtensions,
    .has_parents = true,
    .probe = probe,
    .open = open_image,
    .inspect = inspect_file,
    .check = check_file,
    .faults = kFaults,
    .create = create_image,
    .create_limits = &kCreateLimits,
    .begin_bulk = begin_bulk,
};

}  // namespace vdisk::vhdx
