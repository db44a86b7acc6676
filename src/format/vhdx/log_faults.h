// SPDX-License-Identifier: Apache-2.0
//
// What can be wrong with a VHDX log. That Windows answers 1392 to each of these is *unverified* (formats.md 7
// no. 11: 1392 was seen for a truncated file).
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::vhdx::faults {

inline constexpr Fault kLogTooLarge{"vhdx.log.too_large", win32::kVirtualDiskLimitation,
                                    "The log to replay is longer than the limit on log bytes."};
inline constexpr Fault kLogEmpty{"vhdx.log.empty", win32::kFileCorrupt,
                                 "The header names a log to replay, but the log holds no valid entry of it."};
inline constexpr Fault kLogIncomplete{
    "vhdx.log.incomplete", win32::kFileCorrupt,
    "No sequence of log entries reaches back to the tail that its head names."};
inline constexpr Fault kLogFlushedOffset{
    "vhdx.log.flushed_offset", win32::kFileCorrupt,
    "The file is shorter than it was when the log was written: it has been truncated."};
inline constexpr Fault kLogTarget{"vhdx.log.target", win32::kFileCorrupt,
                                  "A log entry that is to be replayed targets a place that is never logged."};
inline constexpr Fault kLogFileSize{"vhdx.log.file_size", win32::kFileCorrupt,
                                    "Replaying the log would make the file longer than a file can be."};
inline constexpr Fault kLogChanged{"vhdx.log.changed", win32::kFileCorrupt,
                                   "The header no longer names the log that was to be replayed."};
// Findings of check that are no defects, hence no code.
inline constexpr Fault kLogPending{"vhdx.log.pending", 0,
                                   "The log holds changes that a writable open will put in place."};
inline constexpr Fault kLogTorn{"vhdx.log.torn", 0,
                                "The log holds the remains of entries that were not written to the end."};
inline constexpr Fault kLogUnaligned{"vhdx.log.unaligned", 0,
                                     "A log entry records a file length that is no multiple of 1 MiB."};

inline constexpr const Fault* kLog[] = {&kLogTooLarge, &kLogEmpty,    &kLogIncomplete, &kLogFlushedOffset,
                                        &kLogTarget,   &kLogFileSize, &kLogChanged,    &kLogPending,
                                        &kLogTorn,     &kLogUnaligned};

}  // namespace vdisk::vhdx::faults
