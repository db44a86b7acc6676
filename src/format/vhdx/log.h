// SPDX-License-Identifier: Apache-2.0
//
// The log of a VHDX file (MS-VHDX 2.3): what a reader and a writer do with one that was left behind, and what
// check says about it. Three doors; the search for the active sequence behind them is log_parse.h.
#pragma once

#include <cstdint>
#include <memory>

#include "format/image.h"

namespace vdisk::vhdx {

/// Where the log lies, as the current header says (MS-VHDX 2.2.2). REQUIRES for every function below: `guid`
/// is not zero (a zero LogGuid means that there is nothing to replay), offset and length are multiples of 1
/// MiB and length is not zero. Nothing else is assumed: the region may reach past the end of the file.
struct LogRegion {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Guid guid;
};

/// A read-only File that shows `below` as it will be after replay, its size included, and owns `below`, which
/// it never writes. Memory: one 4 KiB page for each distinct page that the log holds, zero descriptors as
/// ranges. Fails with vhdx.log.* (1392) when the log does not replay.
Result<std::unique_ptr<File>> overlay_log(std::unique_ptr<File> below, const LogRegion& region,
                                          const ImageOpen& open);

/// Replays the log into the file and clears LogGuid in both headers. A failure or a power cut at any moment
/// leaves a file that either replays again to the same bytes, or whose log is empty and whose bytes are in
/// place.
/// **Durability:** on success the replayed bytes and the cleared headers are on stable storage.
Status replay_log(File& file, const LogRegion& region, const ImageOpen& open);

/// Says what the log holds (entries, sequence, pages) and what is wrong with it. Fails only on I/O errors.
Status check_log(File& file, const LogRegion& region, const ImageOpen& open, CheckSink& sink);

}  // namespace vdisk::vhdx
