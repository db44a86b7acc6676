// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::iso::faults {

// The three rules of OpenVirtualDisk (virtdisk-api.md 7, T18 to T20), and the case of them that deserves its
// own words.
inline constexpr Fault kSizeMultiple{"iso.size_multiple", win32::kFileCorrupt,
                                     "An ISO image's length is not a multiple of 2048 bytes."};
inline constexpr Fault kTooSmall{
    "iso.too_small", win32::kFileCorrupt,
    "An ISO image is shorter than 34,816 bytes: system area and one volume descriptor."};
inline constexpr Fault kNoVolume{"iso.no_volume", win32::kFileCorrupt,
                                 "An ISO image holds no ISO 9660, High Sierra or UDF volume identifier."};
inline constexpr Fault kRawSectors{
    "iso.raw_sectors", win32::kFileCorrupt,
    "The file is a dump of raw CD sectors (2352 bytes each), not an ISO image."};
inline constexpr Fault kReadOnly{"iso.read_only", win32::kWriteProtect,
                                 "An ISO image cannot be opened for writing."};

// What check finds behind a volume identifier that is there.
inline constexpr Fault kTruncated{"iso.truncated", win32::kFileCorrupt,
                                  "The volume is larger than the file: the end of the disc is missing."};
inline constexpr Fault kNoTerminator{"iso.no_terminator", win32::kFileCorrupt,
                                     "The sequence of volume descriptors has no terminator."};
inline constexpr Fault kBothEndian{"iso.both_endian", win32::kFileCorrupt,
                                   "The little-endian and the big-endian copy of a number disagree."};
inline constexpr Fault kNoAnchor{"iso.no_anchor", win32::kFileCorrupt,
                                 "A UDF volume has no anchor volume descriptor pointer where one may be."};
inline constexpr Fault kOneAnchor{"iso.one_anchor", win32::kFileCorrupt,
                                  "A UDF volume has a single anchor where the standard asks for two."};
inline constexpr Fault kAnchorCrc{"iso.anchor_crc", win32::kFileCorrupt,
                                  "A UDF anchor's CRC does not match its content."};
inline constexpr Fault kNoLogicalVolume{"iso.no_logical_volume", win32::kFileCorrupt,
                                        "A UDF volume descriptor sequence names no logical volume."};

inline constexpr const Fault* kAll[] = {&kSizeMultiple, &kTooSmall,  &kNoVolume,     &kRawSectors,
                                        &kReadOnly,     &kTruncated, &kNoTerminator, &kBothEndian,
                                        &kNoAnchor,     &kOneAnchor, &kAnchorCrc,    &kNoLogicalVolume};

}  // namespace vdisk::iso::faults
