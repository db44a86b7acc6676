// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/vhdx.h"

#include "format/vhdx/check.h"
#include "format/vhdx/create.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/header.h"
#include "format/vhdx/image.h"

namespace vdisk::vhdx {

namespace {

Result<Probe> probe(File& file) { return VDISK_TRY(has_identifier(file)) ? Probe::kYes : Probe::kNo; }

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
    .faults = faults::kAll,
    .create = create_image,
    .create_limits = &kCreateLimits,
};

}  // namespace vdisk::vhdx
