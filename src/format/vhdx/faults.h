// SPDX-License-Identifier: Apache-2.0
//
// What can be wrong with a VHDX file, the log apart (log_faults.h). Which Win32 code Windows gives for each
// defect is known for few of them: 1392 was seen for a truncated file (formats.md 7 no. 11). The other codes
// are the nearest of winerror.h's, *unverified*: 0xC03A0005 versions, 0xC03A000A BAT, 0xC03A000B block size,
// 0xC03A000D a locator of unknown type, 0xC03A0011 a header that cannot be written, 0xC03A0012 disk size,
// 0xC03A001D sector size.
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::vhdx::faults {

// Identifier and headers.
inline constexpr Fault kIdentifier{"vhdx.identifier", win32::kFileCorrupt,
                                   "The file does not begin with the VHDX signature."};
inline constexpr Fault kHeadersInvalid{"vhdx.header.none_valid", win32::kFileCorrupt,
                                       "Neither copy of the header has its signature and its checksum."};
inline constexpr Fault kHeaderConflict{"vhdx.header.conflict", win32::kFileCorrupt,
                                       "Both headers have the same sequence number but different content."};
inline constexpr Fault kVersion{"vhdx.header.version", win32::kVhdFormatUnsupportedVersion,
                                "The file has a VHDX version that is not known."};
inline constexpr Fault kLogVersion{"vhdx.header.log_version", win32::kVhdFormatUnsupportedVersion,
                                   "A log that must be replayed has a version that is not known."};
inline constexpr Fault kLogPlace{"vhdx.header.log_place", win32::kFileCorrupt,
                                 "The log is misaligned, outside the file, or upon the headers."};
inline constexpr Fault kSequenceExhausted{"vhdx.header.sequence", win32::kVhdMetadataWriteFailure,
                                          "The header's sequence number cannot be raised without wrapping."};

inline constexpr const Fault* kAll[] = {&kIdentifier, &kHeadersInvalid, &kHeaderConflict,   &kVersion,
                                        &kLogVersion, &kLogPlace,       &kSequenceExhausted};

}  // namespace vdisk::vhdx::faults
