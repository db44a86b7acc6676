// SPDX-License-Identifier: Apache-2.0
#include "format/vhd/vhd.h"

#include "format/vhd/bulk.h"
#include "format/vhd/check.h"
#include "format/vhd/create.h"
#include "format/vhd/faults.h"
#include "format/vhd/image.h"
#include "format/vhd/inspect.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

namespace {

Result<Probe> probe(File& file) {
  const Footers footers = VDISK_TRY(survey_footers(file));
  return footers.end.present() || (footers.front.present() && footers.front_is_copy()) ? Probe::kYes
                                                                                       : Probe::kNo;
}

// .avhd: a checkpoint of Hyper-V; .vud: an undo disk of Virtual PC. Both are differencing VHDs
// (formats.md 1.16).
constexpr std::string_view kExtensions[] = {"vhd", "avhd", "vud"};

}  // namespace

const Format kFormat = {
    .id = FormatId::kVhd,
    .name = "vhd",
    .extensions = kExtensions,
    .has_parents = true,
    .probe = probe,
    .open = VhdImage::open,
    .inspect = inspect,
    .check = check,
    .faults = faults::kAll,
    .create = create_image,
    .create_limits = &kCreateLimits,
    .begin_bulk = begin_bulk,
};

}  // namespace vdisk::vhd
