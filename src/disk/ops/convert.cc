// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <vdisk/operations.h>

#include "disk/guarded.h"
#include "disk/ops/content.h"
#include "io/new_file.h"

namespace vdisk {

namespace {

Status convert_to_file(const Disk& source, const std::string& path, const OperationControl& control) {
  NewFile output = VDISK_TRY(NewFile::create(path));
  VDISK_TRY(ops::fill_raw_file(source, output.file(), control));
  VDISK_TRY(ops::check_cancelled(control, "the conversion"));
  return output.publish();
}

}  // namespace

inline namespace v1 {

Status convert_to_raw(const Disk& source, const RawTarget& target, const OperationControl& control) {
  return guarded([&]() -> Status {
    if (target.path != "-") return convert_to_file(source, target.path, control);
    ops::StreamSink sink(STDOUT_FILENO, control);
    return ops::copy_content(source, sink, control);
  });
}

}  // namespace v1

}  // namespace vdisk
