// SPDX-License-Identifier: Apache-2.0
//
// An image that is written as Disk writes it: for tests of formats, which stand below Disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/fault.h"
#include "format/image.h"

namespace vdisk::testing {

inline Status write_image(Image& image, std::uint64_t at, std::span<const std::byte> from) {
  RunList runs;
  for (std::uint64_t done = 0; done < from.size();) {
    const IoGate::Pass pass = image.io_gate().enter();
    WriteTicket ticket = VDISK_TRY(image.resolve_write({DiskOffset{at + done}, from.size() - done}, runs));
    for (const Run& run : runs) {
      VDISK_TRY(image.file().write(run.from, from.subspan(run.at.bytes - at, run.length)));
    }
    ticket.commit();
    done += ticket.covered_bytes();
  }
  return {};
}

/// Zeros `range` (`keep_space`), or trims it; what a trim leaves keeps its bytes.
inline Status discard_image(Image& image, DiskRange range, bool keep_space) {
  std::vector<DiskRange> rest;
  {
    const IoGate::Pass pass = image.io_gate().enter();
    VDISK_TRY(image.discard(range, keep_space, rest));
  }
  if (!keep_space) return {};
  for (const DiskRange& piece : rest) {
    VDISK_TRY(write_image(image, piece.at.bytes, std::vector<std::byte>(piece.length)));
  }
  return {};
}

}  // namespace vdisk::testing
