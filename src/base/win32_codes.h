// SPDX-License-Identifier: Apache-2.0
//
// The Win32 codes that fault rows use, by their names in winerror.h (virtdisk-api.md 8). The layers below the
// C API know these numbers and nothing else of Windows.
#pragma once

#include <vdisk/error.h>

namespace vdisk::win32 {

inline constexpr Win32Code kFileNotFound = 2;
inline constexpr Win32Code kPathNotFound = 3;
inline constexpr Win32Code kTooManyOpenFiles = 4;
inline constexpr Win32Code kAccessDenied = 5;
inline constexpr Win32Code kInvalidHandle = 6;
inline constexpr Win32Code kNotEnoughMemory = 8;
inline constexpr Win32Code kWriteProtect = 19;
inline constexpr Win32Code kBadCommand = 22;
inline constexpr Win32Code kSharingViolation = 32;
inline constexpr Win32Code kHandleEof = 38;
inline constexpr Win32Code kNotSupported = 50;
inline constexpr Win32Code kDevNotExist = 55;
inline constexpr Win32Code kFileExists = 80;
inline constexpr Win32Code kInvalidParameter = 87;
inline constexpr Win32Code kBrokenPipe = 109;
inline constexpr Win32Code kDiskFull = 112;
inline constexpr Win32Code kCallNotImplemented = 120;
inline constexpr Win32Code kInsufficientBuffer = 122;
inline constexpr Win32Code kInvalidName = 123;
inline constexpr Win32Code kBusy = 170;
inline constexpr Win32Code kFileTooLarge = 223;
inline constexpr Win32Code kUnsupportedCompression = 618;
inline constexpr Win32Code kFileSystemLimitation = 665;
inline constexpr Win32Code kOperationAborted = 995;
inline constexpr Win32Code kIoIncomplete = 996;
inline constexpr Win32Code kFileInvalid = 1006;
inline constexpr Win32Code kIoDevice = 1117;
inline constexpr Win32Code kNotFound = 1168;
inline constexpr Win32Code kPrivilegeNotHeld = 1314;
inline constexpr Win32Code kFileCorrupt = 1392;
inline constexpr Win32Code kFileEncrypted = 6002;
inline constexpr Win32Code kVhdDriveFooterMissing = 0xC03A0001;
inline constexpr Win32Code kVhdDriveFooterChecksumMismatch = 0xC03A0002;
inline constexpr Win32Code kVhdDriveFooterCorrupt = 0xC03A0003;
inline constexpr Win32Code kVhdFormatUnknown = 0xC03A0004;
inline constexpr Win32Code kVhdFormatUnsupportedVersion = 0xC03A0005;
inline constexpr Win32Code kVhdSparseHeaderChecksumMismatch = 0xC03A0006;
inline constexpr Win32Code kVhdSparseHeaderUnsupportedVersion = 0xC03A0007;
inline constexpr Win32Code kVhdSparseHeaderCorrupt = 0xC03A0008;
inline constexpr Win32Code kVhdBlockAllocationFailure = 0xC03A0009;
inline constexpr Win32Code kVhdBlockAllocationTableCorrupt = 0xC03A000A;
inline constexpr Win32Code kVhdInvalidBlockSize = 0xC03A000B;
inline constexpr Win32Code kVhdBitmapMismatch = 0xC03A000C;
inline constexpr Win32Code kVhdParentVhdNotFound = 0xC03A000D;
inline constexpr Win32Code kVhdChildParentIdMismatch = 0xC03A000E;
inline constexpr Win32Code kVhdChildParentTimestampMismatch = 0xC03A000F;
inline constexpr Win32Code kVhdMetadataReadFailure = 0xC03A0010;
inline constexpr Win32Code kVhdMetadataWriteFailure = 0xC03A0011;
inline constexpr Win32Code kVhdInvalidSize = 0xC03A0012;
inline constexpr Win32Code kVhdInvalidFileSize = 0xC03A0013;
inline constexpr Win32Code kVirtdiskProviderNotFound = 0xC03A0014;
inline constexpr Win32Code kVirtdiskNotVirtualDisk = 0xC03A0015;
inline constexpr Win32Code kVhdParentVhdAccessDenied = 0xC03A0016;
inline constexpr Win32Code kVhdChildParentSizeMismatch = 0xC03A0017;
inline constexpr Win32Code kVhdDifferencingChainCycleDetected = 0xC03A0018;
inline constexpr Win32Code kVhdDifferencingChainErrorInParent = 0xC03A0019;
inline constexpr Win32Code kVirtualDiskLimitation = 0xC03A001A;
inline constexpr Win32Code kVhdInvalidType = 0xC03A001B;
inline constexpr Win32Code kVhdInvalidState = 0xC03A001C;
inline constexpr Win32Code kVirtdiskUnsupportedDiskSectorSize = 0xC03A001D;

}  // namespace vdisk::win32
