// SPDX-License-Identifier: Apache-2.0
//
// Every way in which a VHD can be refused or found wanting. Where Windows has a code of its own for the case
// it is used; which code Windows picks when several apply is unverified.
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::vhd::faults {

inline constexpr Fault kFooterMissing{"vhd.footer.missing", win32::kVhdDriveFooterMissing,
                                      "No copy of the VHD footer is where one can be."};
inline constexpr Fault kFooterChecksum{"vhd.footer.checksum", win32::kVhdDriveFooterChecksumMismatch,
                                       "A VHD footer is there, but its checksum is wrong in every copy."};
inline constexpr Fault kFooterCorrupt{"vhd.footer.corrupt", win32::kVhdDriveFooterCorrupt,
                                      "The VHD footer points to a dynamic header that cannot be there."};
inline constexpr Fault kFooterVersion{"vhd.footer.version", win32::kVhdFormatUnsupportedVersion,
                                      "The VHD footer is of a format version other than 1."};
inline constexpr Fault kFootersDiffer{
    "vhd.footer.differ", win32::kVhdDriveFooterCorrupt,
    "Both copies of the VHD footer are valid but disagree on the disk's size or type; it opens read-only."};
inline constexpr Fault kFooterCopy{
    "vhd.footer.copy", win32::kVhdDriveFooterCorrupt,
    "One of the two copies of the VHD footer is missing, damaged or out of date."};
inline constexpr Fault kTrailingBytes{
    "vhd.footer.trailing_bytes", win32::kVhdInvalidFileSize,
    "Bytes follow the footer of a fixed VHD; it was found by a search and opens read-only."};
inline constexpr Fault kDisabled{"vhd.disabled", win32::kVhdInvalidState,
                                 "The VHD was disabled on purpose: its footer cookie is v_poison."};
inline constexpr Fault kSplit{"vhd.split", win32::kVhdFormatUnknown,
                              "The file is one part of a split VHD (.vhd, .v01, .v02, ...)."};
inline constexpr Fault kType{"vhd.type", win32::kVhdInvalidType,
                             "The VHD's disk type is none of fixed, dynamic and differencing."};
inline constexpr Fault kSize{
    "vhd.size", win32::kVhdInvalidSize,
    "The VHD's current size is zero, no multiple of 512, or past the format's limit."};
inline constexpr Fault kFileSize{"vhd.file_size", win32::kVhdInvalidFileSize,
                                 "The file of a fixed VHD is shorter than its disk."};
inline constexpr Fault kHeaderChecksum{"vhd.header.checksum", win32::kVhdSparseHeaderChecksumMismatch,
                                       "The checksum of the dynamic disk header is wrong."};
inline constexpr Fault kHeaderVersion{"vhd.header.version", win32::kVhdSparseHeaderUnsupportedVersion,
                                      "The dynamic disk header is of a version other than 1."};
inline constexpr Fault kHeaderCorrupt{"vhd.header.corrupt", win32::kVhdSparseHeaderCorrupt,
                                      "The dynamic disk header does not begin with its cookie."};
inline constexpr Fault kBlockSize{"vhd.block_size", win32::kVhdInvalidBlockSize,
                                  "The block size is no power of two between 512 bytes and 256 MiB."};
inline constexpr Fault kBatPlace{
    "vhd.bat.place", win32::kVhdBlockAllocationTableCorrupt,
    "The block allocation table is misaligned, outside the file, or over a header."};
inline constexpr Fault kBatCount{"vhd.bat.count", win32::kVhdBlockAllocationTableCorrupt,
                                 "The block allocation table has fewer entries than the disk has blocks."};
inline constexpr Fault kBatRange{"vhd.bat.range", win32::kVhdBlockAllocationTableCorrupt,
                                 "A block reaches past the end of the file."};
inline constexpr Fault kBatMetadata{
    "vhd.bat.metadata", win32::kVhdBlockAllocationTableCorrupt,
    "A block lies over a footer, the dynamic header, the block allocation table or a parent locator."};
inline constexpr Fault kBatOverlap{"vhd.bat.overlap", win32::kVhdBlockAllocationTableCorrupt,
                                   "Two blocks share bytes of the file."};
inline constexpr Fault kLastBlockShort{
    "vhd.block.short", win32::kVhdInvalidFileSize,
    "The file ends inside the last block, behind the disk's last sector; it opens read-only."};

inline constexpr Fault kFull{"vhd.full", win32::kVhdBlockAllocationFailure,
                             "The file has no place below 2 TiB left for another block."};

// What only `check` tells; none of them stops a reader.
inline constexpr Fault kLocator{
    "vhd.locator", win32::kVhdSparseHeaderCorrupt,
    "A parent locator is unusable: outside the file, too long, empty or unknown."};
inline constexpr Fault kLeaked{"vhd.space.leaked", win32::kFileCorrupt,
                               "Nothing refers to a part of the file."};
inline constexpr Fault kPadding{"vhd.space.padding", win32::kVhdInvalidFileSize,
                                "Unused bytes lie between the data of a fixed VHD and its footer."};
inline constexpr Fault kAlignment{"vhd.alignment", win32::kVirtualDiskLimitation,
                                  "Block data does not lie at multiples of 4096 bytes, which costs speed."};
inline constexpr Fault kFileLength{"vhd.file_length", win32::kVhdInvalidFileSize,
                                   "The file's length is no multiple of 512 bytes."};
inline constexpr Fault kSavedState{
    "vhd.saved_state", win32::kVhdInvalidState,
    "A virtual machine was saved on this disk: do not compact, expand or merge it."};
inline constexpr Fault kBatSpare{"vhd.bat.spare", win32::kVhdBlockAllocationTableCorrupt,
                                 "Entries of the block allocation table past the disk's end name blocks."};

inline constexpr const Fault* kAll[] = {
    &kFooterMissing,  &kFooterChecksum, &kFooterCorrupt, &kFooterVersion,  &kFootersDiffer, &kFooterCopy,
    &kTrailingBytes,  &kDisabled,       &kSplit,         &kType,           &kSize,          &kFileSize,
    &kHeaderChecksum, &kHeaderVersion,  &kHeaderCorrupt, &kBlockSize,      &kBatPlace,      &kBatCount,
    &kBatRange,       &kBatMetadata,    &kBatOverlap,    &kLastBlockShort, &kLocator,       &kLeaked,
    &kPadding,        &kAlignment,      &kFileLength,    &kSavedState,     &kBatSpare,      &kFull};

}  // namespace vdisk::vhd::faults
