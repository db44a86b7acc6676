// SPDX-License-Identifier: Apache-2.0
#include "format/preallocate.h"

#include <algorithm>

#include "base/checked.h"

namespace vdisk {

namespace {
// Large enough for few extents, small enough that a host which must write the zeros stops soon when it is
// asked to.
constexpr std::uint64_t kPieceBytes = kGiB;
}  // namespace

Status stop_if_cancelled(const File& file, const OperationControl& control) {
  if (!control.cancellation.cancelled()) return {};
  return fail(faults::kCancelled, "{}: its creation was cancelled; nothing is left of it", file.name());
}

Status preallocate(File& file, FileOffset at, std::uint64_t length, Preallocation how,
                   const OperationControl& control) {
  if (how == Preallocation::kNone) return {};
  for (std::uint64_t done = 0; done < length;) {
    VDISK_TRY(stop_if_cancelled(file, control));
    const std::uint64_t piece = std::min(kPieceBytes, length - done);
    const FileOffset here{at.bytes + done};
    VDISK_TRY(how == Preallocation::kFull ? file.zero(here, piece) : file.punch(here, piece));
    done += piece;
    if (control.progress) control.progress({done, length});
  }
  return {};
}

}  // namespace vdisk
