// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/faults.h"
#include "format/vhdx/log.h"

namespace vdisk::vhdx {
Result<std::unique_ptr<File>> overlay_log(std::unique_ptr<File> below, const LogRegion&, const ImageOpen&) {
  return fail(faults::kLogVersion, "{}: the log must be replayed", below->name());
}
Status replay_log(File& file, const LogRegion&, const ImageOpen&) {
  return fail(faults::kLogVersion, "{}: the log must be replayed", file.name());
}
Status check_log(File&, const LogRegion&, const ImageOpen&, CheckSink&) { return {}; }
}  // namespace vdisk::vhdx
