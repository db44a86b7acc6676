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

// Regions.
inline constexpr Fault kRegionTablesInvalid{
    "vhdx.region.none_valid", win32::kFileCorrupt,
    "Neither copy of the region table has its signature, its checksum and a legal count."};
inline constexpr Fault kRegionPlace{"vhdx.region.place", win32::kFileCorrupt,
                                    "A region is empty, misaligned, outside the file, or upon the headers."};
inline constexpr Fault kRegionDuplicate{"vhdx.region.duplicate", win32::kFileCorrupt,
                                        "The region table names one region twice."};
inline constexpr Fault kRegionOverlap{"vhdx.region.overlap", win32::kFileCorrupt,
                                      "Two regions, or a region and the log, overlap."};
inline constexpr Fault kRegionUnknown{"vhdx.region.unknown_required", win32::kFileCorrupt,
                                      "The file requires a region of a kind that is not known."};
inline constexpr Fault kRegionMissing{"vhdx.region.missing", win32::kFileCorrupt,
                                      "The region table names no BAT or no metadata region."};

// Metadata.
inline constexpr Fault kMetadataTable{"vhdx.metadata.table", win32::kFileCorrupt,
                                      "The metadata table has no signature or an illegal count."};
inline constexpr Fault kMetadataEntry{
    "vhdx.metadata.entry", win32::kFileCorrupt,
    "A metadata table entry has no id, an illegal place or length, or is one of too many."};
inline constexpr Fault kMetadataDuplicate{"vhdx.metadata.duplicate", win32::kFileCorrupt,
                                          "The metadata table names one item twice."};
inline constexpr Fault kMetadataOverlap{"vhdx.metadata.overlap", win32::kFileCorrupt,
                                        "Two metadata items overlap."};
inline constexpr Fault kMetadataUnknown{"vhdx.metadata.unknown_required", win32::kFileCorrupt,
                                        "The file requires a metadata item that is not known."};
inline constexpr Fault kMetadataMissing{"vhdx.metadata.missing", win32::kFileCorrupt,
                                        "A required metadata item is missing."};
inline constexpr Fault kMetadataItem{"vhdx.metadata.item", win32::kFileCorrupt,
                                     "A known metadata item has the wrong length or flags."};
inline constexpr Fault kIncomplete{"vhdx.incomplete", win32::kFileCorrupt,
                                   "Creation of the file was not finished."};
inline constexpr Fault kBlockSize{"vhdx.block_size", win32::kVhdInvalidBlockSize,
                                  "The block size is not a power of two from 1 MiB to 256 MiB."};
inline constexpr Fault kDiskSize{"vhdx.disk_size", win32::kVhdInvalidSize,
                                 "The virtual disk's size is zero, not whole sectors, or above 64 TiB."};
inline constexpr Fault kSectorSize{
    "vhdx.sector_size", win32::kVirtdiskUnsupportedDiskSectorSize,
    "A sector size is not 512 or 4096, or physical sectors are smaller than logical ones."};

// Parent locator.
inline constexpr Fault kLocatorMissing{"vhdx.locator.missing", win32::kFileCorrupt,
                                       "A differencing disk has no parent locator."};
inline constexpr Fault kLocatorUnexpected{"vhdx.locator.unexpected", win32::kFileCorrupt,
                                          "A disk without a parent has a parent locator."};
inline constexpr Fault kLocatorType{"vhdx.locator.type", win32::kVhdParentVhdNotFound,
                                    "The parent locator is of a type that is not known."};
inline constexpr Fault kLocatorMalformed{
    "vhdx.locator.malformed", win32::kFileCorrupt,
    "The parent locator's entries or texts are out of bounds, empty, overlapping or doubled."};
inline constexpr Fault kLocatorLinkage{"vhdx.locator.linkage", win32::kFileCorrupt,
                                       "The parent locator does not name its parent's identity."};
inline constexpr Fault kLocatorNoPath{"vhdx.locator.no_path", win32::kFileCorrupt,
                                      "The parent locator names no path."};

// BAT and sector bitmaps.
inline constexpr Fault kBatSize{"vhdx.bat.size", win32::kFileCorrupt,
                                "The BAT region is too short for the virtual disk."};
inline constexpr Fault kBatState{
    "vhdx.bat.state", win32::kVhdBlockAllocationTableCorrupt,
    "A BAT entry has a state that is reserved or illegal for this type of disk."};
inline constexpr Fault kBatPlace{"vhdx.bat.place", win32::kVhdBlockAllocationTableCorrupt,
                                 "A block lies outside the file, or upon the headers, the log or a region."};
inline constexpr Fault kBatOverlap{"vhdx.bat.overlap", win32::kVhdBlockAllocationTableCorrupt,
                                   "Two blocks share space in the file."};
inline constexpr Fault kBitmapMissing{"vhdx.bat.bitmap_missing", win32::kVhdBlockAllocationTableCorrupt,
                                      "A partially present block has no sector bitmap."};

// Writing.
inline constexpr Fault kNoLog{"vhdx.write.no_log", win32::kFileCorrupt,
                              "The file has no log, so it cannot be changed safely."};
inline constexpr Fault kWriteScattered{
    "vhdx.write.too_scattered", win32::kVirtualDiskLimitation,
    "The blocks lie too far apart for the free space between them to be told in bounded memory."};
inline constexpr Fault kWriterClosed{"vhdx.write.closed", win32::kWriteProtect,
                                     "The image was closed and takes no more changes."};

// Said by check alone; what is no defect has no code.
inline constexpr Fault kHeaderCopy{"vhdx.check.header_copy", win32::kFileCorrupt,
                                   "One of the two headers is invalid; the other one serves."};
inline constexpr Fault kRegionTableCopy{"vhdx.check.region_table_copy", win32::kFileCorrupt,
                                        "One of the two region tables is invalid, or the two differ."};
inline constexpr Fault kReserved{"vhdx.check.reserved", 0,
                                 "A field that the specification reserves is not zero."};
inline constexpr Fault kLeak{"vhdx.check.leak", 0, "The file holds space that nothing refers to."};
inline constexpr Fault kFileLength{"vhdx.check.file_length", 0, "The file does not end on a MiB."};
inline constexpr Fault kAnchor{"vhdx.check.anchor", win32::kFileCorrupt,
                               "A block that is not read keeps an offset that it may not have."};
inline constexpr Fault kTooScattered{
    "vhdx.check.too_scattered", 0,
    "The blocks lie too far apart for their overlaps to be looked for in bounded memory."};

inline constexpr const Fault* kAll[] = {&kIdentifier,        &kHeadersInvalid,
                                        &kHeaderConflict,    &kVersion,
                                        &kLogVersion,        &kLogPlace,
                                        &kSequenceExhausted, &kRegionTablesInvalid,
                                        &kRegionPlace,       &kRegionDuplicate,
                                        &kRegionOverlap,     &kRegionUnknown,
                                        &kRegionMissing,     &kMetadataTable,
                                        &kMetadataEntry,     &kMetadataDuplicate,
                                        &kMetadataOverlap,   &kMetadataUnknown,
                                        &kMetadataMissing,   &kMetadataItem,
                                        &kIncomplete,        &kBlockSize,
                                        &kDiskSize,          &kSectorSize,
                                        &kLocatorMissing,    &kLocatorUnexpected,
                                        &kLocatorType,       &kLocatorMalformed,
                                        &kLocatorLinkage,    &kLocatorNoPath,
                                        &kBatSize,           &kBatState,
                                        &kBatPlace,          &kBatOverlap,
                                        &kBitmapMissing,     &kNoLog,
                                        &kWriteScattered,    &kWriterClosed,
                                        &kHeaderCopy,        &kRegionTableCopy,
                                        &kReserved,          &kLeak,
                                        &kFileLength,        &kAnchor,
                                        &kTooScattered};

}  // namespace vdisk::vhdx::faults
