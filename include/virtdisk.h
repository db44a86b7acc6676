// SPDX-License-Identifier: Apache-2.0
/* The Windows virtual disk API (virtdisk.h, VirtDisk.dll) on Linux, for C (C99 and later) and C++ (C++11
 * and later).
 *
 * Names, values and structure layout are those of Windows x64, with one difference: WCHAR is wchar_t, four
 * bytes, so a size in bytes of text is twice what it is there (virtdisk-api.md 9.3). Sections in comments
 * below are those of that fact sheet.
 *
 *   Results: Every function returns its error code; GetLastError() is not involved. ERROR_SUCCESS (0) is
 *       success. Any function may also return ERROR_NOT_ENOUGH_MEMORY (8). The full explanation of a
 *       failure is VirtdiskGetLastErrorText(). A function marked "Not built yet" is complete in this header
 *       and returns ERROR_CALL_NOT_IMPLEMENTED (120) whatever its arguments; the codes listed for it are
 *       its contract once built.
 *   Ownership: Strings, structures and buffers belong to the caller and are read only during the call,
 *       except an OVERLAPPED, which must live until its operation ends. Handles belong to the caller: close
 *       them with CloseHandle(). When a call fails, what it would have written is left untouched unless its
 *       comment says otherwise (1.12).
 *   Threads: Every function may be called on any thread, and calls on one handle may overlap. The one
 *       exception is CloseHandle(), which must come after every other call on the same handle has returned.
 *   Units: Sizes and offsets are bytes; sector sizes are bytes. Text sizes are bytes, not characters, and
 *       include the terminating zero.
 *   Asynchrony (2): A call that takes an Overlapped runs to its end if that is NULL. Otherwise it may
 *       return ERROR_IO_PENDING (997) at once, and completion is seen through Overlapped->hEvent,
 *       GetOverlappedResult() or GetVirtualDiskOperationProgress(); it may as well return ERROR_SUCCESS or
 *       an error, which in this version it always does. hEvent is NULL or an event, else the call fails with
 *       ERROR_INVALID_HANDLE (6); it is reset at the start, and set at the end unless the call itself
 *       returned an error.
 *
 * NTDDI_VERSION and WINVER hide what a Windows of that age did not have; the default is the newest. With
 * VIRTDISK_DEFINE_FLAGS defined this header emits constants and flag enums alone.
 *
 * Longer than other files of this project, because sources include one header of this name. */
#ifndef VIRT_DISK_API_DEF
#define VIRT_DISK_API_DEF

#include "vdisk/win32/winbase.h"
#include "vdisk/win32/winerror.h"

#if (WINVER >= _WIN32_WINNT_WIN7) || defined(VIRTDISK_DEFINE_FLAGS)

/* C++ gives the enums the underlying type they have on Windows. Without it, holding a value that no
 * enumerator names (an unknown flag, the result of ~) would be undefined. C has no such rule and, before
 * C23, no such syntax. */
#ifdef __cplusplus
#define VIRTDISK_INT_ENUM : int
#else
#define VIRTDISK_INT_ENUM
#endif

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* unnamed unions and arrays of length zero, as on Windows */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wextern-c-compat" /* the size is the same in both, asserted by tests */
#endif

/* ---- Storage types (4) --------------------------------------------------------------------------------- */

/* A format and who defines it. Both unknown lets the file name extension decide, then the content (2). */
#ifndef _VIRTUAL_STORAGE_TYPE_DEFINED
#define _VIRTUAL_STORAGE_TYPE_DEFINED
typedef struct _VIRTUAL_STORAGE_TYPE {
  ULONG DeviceId; /* VIRTUAL_STORAGE_TYPE_DEVICE_* */
  GUID VendorId;  /* VIRTUAL_STORAGE_TYPE_VENDOR_* */
} VIRTUAL_STORAGE_TYPE, *PVIRTUAL_STORAGE_TYPE;
#endif

/* With initguid.h before this header each unit carries the GUIDs; without it they come from the library,
 * under names of the library's own. */
#ifdef INITGUID
DEFINE_GUID(VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN, 0x00000000, 0x0000, 0x0000, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00);
/* {EC984AEC-A0F9-47E9-901F-71415A66345B} */
DEFINE_GUID(VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT, 0xec984aec, 0xa0f9, 0x47e9, 0x90, 0x1f, 0x71, 0x41, 0x5a,
            0x66, 0x34, 0x5b);
#else
extern VIRTDISK_API const GUID VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN __asm__("VirtdiskVendorUnknown");
extern VIRTDISK_API const GUID VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT __asm__("VirtdiskVendorMicrosoft");
#endif

#define VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN 0
#define VIRTUAL_STORAGE_TYPE_DEVICE_ISO 1
#define VIRTUAL_STORAGE_TYPE_DEVICE_VHD 2
#define VIRTUAL_STORAGE_TYPE_DEVICE_VHDX 3
#define VIRTUAL_STORAGE_TYPE_DEVICE_VHDSET 4

/* ---- OpenVirtualDisk (3.1) ----------------------------------------------------------------------------- */

#if !defined(VIRTDISK_DEFINE_FLAGS)

#define OPEN_VIRTUAL_DISK_RW_DEPTH_DEFAULT 1

typedef enum _OPEN_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  OPEN_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0, /* not accepted */
  OPEN_VIRTUAL_DISK_VERSION_1 = 1,           /* rights by access mask */
  OPEN_VIRTUAL_DISK_VERSION_2 = 2,           /* all rights; access mask NONE */
  OPEN_VIRTUAL_DISK_VERSION_3 = 3,           /* as 2, and a snapshot of a VHD Set */
} OPEN_VIRTUAL_DISK_VERSION;

typedef struct _OPEN_VIRTUAL_DISK_PARAMETERS {
  OPEN_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONG RWDepth; /* layers, from the leaf, opened for writing; to merge n parents: n + 1 */
    } Version1;
    struct {
      BOOL GetInfoOnly;    /* the handle answers queries and nothing else */
      BOOL ReadOnly;       /* the file is opened for reading only */
      GUID ResiliencyGuid; /* opens with the same one share the disk object; zero: no wish */
    } Version2;
    struct {
      BOOL GetInfoOnly;
      BOOL ReadOnly;
      GUID ResiliencyGuid;
      GUID SnapshotId; /* in a VHD Set; zero: the active disk */
    } Version3;
  };
} OPEN_VIRTUAL_DISK_PARAMETERS, *POPEN_VIRTUAL_DISK_PARAMETERS;

#endif /* !VIRTDISK_DEFINE_FLAGS */

/* What a version 1 handle may do (table in 2). Handles of later versions carry everything and are asked for
 * with NONE. An ISO takes ATTACH_RO, DETACH and GET_INFO only. */
typedef enum _VIRTUAL_DISK_ACCESS_MASK VIRTDISK_INT_ENUM {
  VIRTUAL_DISK_ACCESS_NONE = 0x00000000,
  VIRTUAL_DISK_ACCESS_ATTACH_RO = 0x00010000,
  VIRTUAL_DISK_ACCESS_ATTACH_RW = 0x00020000,
  VIRTUAL_DISK_ACCESS_DETACH = 0x00040000,
  VIRTUAL_DISK_ACCESS_GET_INFO = 0x00080000,
  VIRTUAL_DISK_ACCESS_CREATE = 0x00100000,
  VIRTUAL_DISK_ACCESS_METAOPS = 0x00200000,  /* set information, compact, merge, expand, resize */
  VIRTUAL_DISK_ACCESS_READ = 0x000d0000,     /* ATTACH_RO | DETACH | GET_INFO */
  VIRTUAL_DISK_ACCESS_ALL = 0x003f0000,      /* every right; bits outside are invalid */
  VIRTUAL_DISK_ACCESS_WRITABLE = 0x00320000, /* not a request: tests whether a mask needs the file writable */
} VIRTUAL_DISK_ACCESS_MASK;
DEFINE_ENUM_FLAG_OPERATORS(VIRTUAL_DISK_ACCESS_MASK)

typedef enum _OPEN_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  OPEN_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
  /* The leaf alone, to query or repair a broken parent link. Not for ISO. */
  OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS = 0x00000001,
  /* The file is empty; its format is not verified. Not for ISO. */
  OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE = 0x00000002,
  /* For the kernel while it boots: always refused here. */
  OPEN_VIRTUAL_DISK_FLAG_BOOT_DRIVE = 0x00000004,
  /* The host may cache; the default is uncached and written through. */
  OPEN_VIRTUAL_DISK_FLAG_CACHED_IO = 0x00000008,
  /* The leaf alone; AddVirtualDiskParent() supplies the chain and the stored locator stays as it is. */
  OPEN_VIRTUAL_DISK_FLAG_CUSTOM_DIFF_CHAIN = 0x00000010,
  /* The host may cache parents but not the leaf. */
  OPEN_VIRTUAL_DISK_FLAG_PARENT_CACHED_IO = 0x00000020,
  /* A VHD Set without any of its disks. */
  OPEN_VIRTUAL_DISK_FLAG_VHDSET_FILE_ONLY = 0x00000040,
  /* Relative locators are not used to find a parent. */
  OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR = 0x00000080,
  /* No flushes to the host's storage, for data and metadata alike: a power cut may cost the disk. */
  OPEN_VIRTUAL_DISK_FLAG_NO_WRITE_HARDENING = 0x00000100,
  /* Accept a file that the host compresses, has made sparse, or encrypts. */
  OPEN_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES = 0x00000200,
  OPEN_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS = 0x00000400,
  OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES = 0x00000800,
} OPEN_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(OPEN_VIRTUAL_DISK_FLAG)

#if !defined(VIRTDISK_DEFINE_FLAGS)

/* Opens a VHD, VHDX, VHD Set or ISO with its chain of parents and gives a handle to it.
 *
 * Parameters may be NULL, which means version 1 with RWDepth 1. An ISO opens through version 1 only, with
 * rights out of VIRTUAL_DISK_ACCESS_READ. Members of Parameters beyond Version never make the call invalid
 * (7, T24c). Arguments are judged before the file is looked for (7, T25), in the order listed here.
 *
 *   ERROR_INVALID_PARAMETER (87): VirtualStorageType, Path or Handle NULL; access bits outside
 *       VIRTUAL_DISK_ACCESS_ALL; an unknown Version; Flags outside NO_PARENTS and BLANK_FILE with version 1
 *       or NULL, BOOT_DRIVE or unknown bits with any; access other than NONE with version 2 or 3
 *   ERROR_FILE_NOT_FOUND (2): no such file; ERROR_PATH_NOT_FOUND (3): no such folder
 *   ERROR_ACCESS_DENIED (5): the file may not be opened as asked
 *   ERROR_SHARING_VIOLATION (32): it is in use in a way that excludes this open, or is attached permanently
 *       and neither version 2 nor DETACH is asked for, or write access is asked for and it was attached
 *       read-only
 *   ERROR_UNSUPPORTED_COMPRESSION (618): the host compresses the file, unless SUPPORT_COMPRESSED_VOLUMES
 *   ERROR_FILE_ENCRYPTED (6002): the host encrypts the file, unless SUPPORT_ENCRYPTED_FILES
 *   ERROR_FILE_SYSTEM_LIMITATION (665): the path is on a share that this very host serves
 *   ERROR_NOT_SUPPORTED (50): an ISO with version 2 or 3
 *   ERROR_VIRTDISK_PROVIDER_NOT_FOUND: neither name nor content tells a known format
 *   ERROR_FILE_CORRUPT (1392): a corrupt VHDX or ISO; an ISO shorter than 34,816 bytes, not a multiple of
 *       2,048, or without an ISO 9660 or UDF descriptor (7, T19)
 *   ERROR_VHD_* (8): a corrupt VHD, or a parent that is missing, mismatched or part of a cycle
 *
 * VirtdiskSetContract() selects older, narrower rules. Source: 2, 3.1, 7. */
VIRTDISK_API DWORD WINAPI OpenVirtualDisk(_In_ PVIRTUAL_STORAGE_TYPE VirtualStorageType, _In_ PCWSTR Path,
                                          _In_ VIRTUAL_DISK_ACCESS_MASK VirtualDiskAccessMask,
                                          _In_ OPEN_VIRTUAL_DISK_FLAG Flags,
                                          _In_opt_ POPEN_VIRTUAL_DISK_PARAMETERS Parameters,
                                          _Out_ PHANDLE Handle);

/* ---- CreateVirtualDisk (3.2) --------------------------------------------------------------------------- */

/* 0 selects 2 MiB for VHD, 32 MiB for VHDX; differencing: the parent's for VHD, 2 MiB for VHDX. */
#define CREATE_VIRTUAL_DISK_PARAMETERS_DEFAULT_BLOCK_SIZE 0
/* 0 selects 512, or the parent's. */
#define CREATE_VIRTUAL_DISK_PARAMETERS_DEFAULT_SECTOR_SIZE 0

typedef enum _CREATE_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  CREATE_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  CREATE_VIRTUAL_DISK_VERSION_1 = 1, /* gives a version 1 handle, the others give a version 2 handle */
  CREATE_VIRTUAL_DISK_VERSION_2 = 2,
  CREATE_VIRTUAL_DISK_VERSION_3 = 3,
  CREATE_VIRTUAL_DISK_VERSION_4 = 4,
} CREATE_VIRTUAL_DISK_VERSION;

typedef struct _CREATE_VIRTUAL_DISK_PARAMETERS {
  CREATE_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      GUID UniqueId;           /* zero: one is generated */
      ULONGLONG MaximumSize;   /* virtual size; 0 takes the source's or the parent's */
      ULONG BlockSizeInBytes;  /* 0 for fixed disks */
      ULONG SectorSizeInBytes; /* logical: 512, for VHDX also 4096 */
      PCWSTR ParentPath;       /* makes a differencing disk; excludes SourcePath */
      PCWSTR SourcePath;       /* copy this virtual or physical disk's data */
    } Version1;
    struct {
      GUID UniqueId;
      ULONGLONG MaximumSize;
      ULONG BlockSizeInBytes;
      ULONG SectorSizeInBytes;
      ULONG PhysicalSectorSizeInBytes; /* 512, for VHDX also 4096, its default */
      PCWSTR ParentPath;
      PCWSTR SourcePath;
      OPEN_VIRTUAL_DISK_FLAG OpenFlags; /* of the handle returned */
      VIRTUAL_STORAGE_TYPE ParentVirtualStorageType;
      VIRTUAL_STORAGE_TYPE SourceVirtualStorageType;
      GUID ResiliencyGuid;
    } Version2;
    struct {
      GUID UniqueId;
      ULONGLONG MaximumSize;
      ULONG BlockSizeInBytes;
      ULONG SectorSizeInBytes;
      ULONG PhysicalSectorSizeInBytes;
      PCWSTR ParentPath;
      PCWSTR SourcePath;
      OPEN_VIRTUAL_DISK_FLAG OpenFlags;
      VIRTUAL_STORAGE_TYPE ParentVirtualStorageType;
      VIRTUAL_STORAGE_TYPE SourceVirtualStorageType;
      GUID ResiliencyGuid;
      PCWSTR SourceLimitPath; /* copy what lies above this file or is newer than this tracking id */
      VIRTUAL_STORAGE_TYPE BackingStorageType; /* of a VHD Set */
    } Version3;
    struct {
      GUID UniqueId;
      ULONGLONG MaximumSize;
      ULONG BlockSizeInBytes;
      ULONG SectorSizeInBytes;
      ULONG PhysicalSectorSizeInBytes;
      PCWSTR ParentPath;
      PCWSTR SourcePath;
      OPEN_VIRTUAL_DISK_FLAG OpenFlags;
      VIRTUAL_STORAGE_TYPE ParentVirtualStorageType;
      VIRTUAL_STORAGE_TYPE SourceVirtualStorageType;
      GUID ResiliencyGuid;
      PCWSTR SourceLimitPath;
      VIRTUAL_STORAGE_TYPE BackingStorageType;
      GUID PmemAddressAbstractionType; /* of a disk that backs persistent memory */
      ULONGLONG DataAlignment;
    } Version4;
  };
} CREATE_VIRTUAL_DISK_PARAMETERS, *PCREATE_VIRTUAL_DISK_PARAMETERS;

typedef enum _CREATE_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  CREATE_VIRTUAL_DISK_FLAG_NONE = 0x0,
  /* A fixed disk. Without it and without ParentPath the disk is dynamic. */
  CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION = 0x1,
  /* Own a physical source disk while copying; it must be offline or read-only. Nothing for other sources. */
  CREATE_VIRTUAL_DISK_FLAG_PREVENT_WRITES_TO_SOURCE_DISK = 0x2,
  /* The parent is a stand-in: take neither metadata nor block states from it. */
  CREATE_VIRTUAL_DISK_FLAG_DO_NOT_COPY_METADATA_FROM_PARENT = 0x4,
  CREATE_VIRTUAL_DISK_FLAG_CREATE_BACKING_STORAGE = 0x8,
  /* SourceLimitPath is a change tracking id. */
  CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT = 0x10,
  /* A child of a tracked parent is tracked and knows the parent's ids. */
  CREATE_VIRTUAL_DISK_FLAG_PRESERVE_PARENT_CHANGE_TRACKING_STATE = 0x20,
  /* A VHD Set from a source takes the file itself instead of a copy; its name may change. */
  CREATE_VIRTUAL_DISK_FLAG_VHD_SET_USE_ORIGINAL_BACKING_STORAGE = 0x40,
  /* A fixed disk in a sparse file. */
  CREATE_VIRTUAL_DISK_FLAG_SPARSE_FILE = 0x80,
  /* Fit to back virtual persistent memory. */
  CREATE_VIRTUAL_DISK_FLAG_PMEM_COMPATIBLE = 0x100,
  CREATE_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES = 0x200,
  CREATE_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS = 0x400,
} CREATE_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(CREATE_VIRTUAL_DISK_FLAG)

#define CREATE_VIRTUAL_DISK_FLAG_USE_RCT_SOURCE_LIMIT \
  CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT

/* Creates a virtual disk, empty, on top of a parent, or as a copy of a source, and gives a handle to it.
 *
 * The virtual size is exactly the one asked for. An existing file is never overwritten. SecurityDescriptor
 * NULL inherits the folder's. With an Overlapped, *Handle is valid as soon as the call returns
 * ERROR_IO_PENDING (2).
 *
 *   ERROR_INVALID_PARAMETER (87): VirtualStorageType, Path, Parameters or Handle NULL; an unknown Version,
 *       access bit or flag; access other than NONE with version 2 to 4; MaximumSize below 3 MB or no
 *       multiple of the sector size; a block or sector size that the format has not (table in 3.2);
 *       ParentPath with SourcePath, or with FULL_PHYSICAL_ALLOCATION
 *   ERROR_FILE_EXISTS (80): Path exists
 *   ERROR_PATH_NOT_FOUND (3), ERROR_ACCESS_DENIED (5), ERROR_DISK_FULL (112)
 *   ERROR_FILE_SYSTEM_LIMITATION (665): the host file system cannot hold a file of that size
 *   ERROR_VIRTUAL_DISK_LIMITATION: the host compresses or encrypts the folder's files
 *   ERROR_VHD_INVALID_SIZE: above the format's maximum: 2,040 GB for VHD, 64 TB for VHDX
 *   ERROR_VIRTDISK_DISK_ALREADY_OWNED, ERROR_VIRTDISK_DISK_ONLINE_AND_WRITABLE:
 *       PREVENT_WRITES_TO_SOURCE_DISK cannot be granted
 *   ERROR_IO_PENDING (997): running; ERROR_OPERATION_ABORTED (995): cancelled
 *   and what OpenVirtualDisk() returns for the parent and the source
 *
 * Source: 3.2, 5 (limits). */
VIRTDISK_API DWORD WINAPI CreateVirtualDisk(_In_ PVIRTUAL_STORAGE_TYPE VirtualStorageType, _In_ PCWSTR Path,
                                            _In_ VIRTUAL_DISK_ACCESS_MASK VirtualDiskAccessMask,
                                            _In_opt_ PSECURITY_DESCRIPTOR SecurityDescriptor,
                                            _In_ CREATE_VIRTUAL_DISK_FLAG Flags,
                                            _In_ ULONG ProviderSpecificFlags,
                                            _In_ PCREATE_VIRTUAL_DISK_PARAMETERS Parameters,
                                            _In_opt_ LPOVERLAPPED Overlapped, _Out_ PHANDLE Handle);

/* ---- AttachVirtualDisk, DetachVirtualDisk (3.3, 3.4) --------------------------------------------------- */

typedef enum _ATTACH_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  ATTACH_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  ATTACH_VIRTUAL_DISK_VERSION_1 = 1,
  ATTACH_VIRTUAL_DISK_VERSION_2 = 2,
} ATTACH_VIRTUAL_DISK_VERSION;

typedef struct _ATTACH_VIRTUAL_DISK_PARAMETERS {
  ATTACH_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONG Reserved;
    } Version1;
    struct {
      ULONGLONG RestrictedOffset; /* with RESTRICTED_RANGE: the part of the disk to show */
      ULONGLONG RestrictedLength;
    } Version2;
  };
} ATTACH_VIRTUAL_DISK_PARAMETERS, *PATTACH_VIRTUAL_DISK_PARAMETERS;

#endif /* !VIRTDISK_DEFINE_FLAGS */

typedef enum _ATTACH_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  ATTACH_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
  ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY = 0x00000001,
  ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER = 0x00000002, /* volumes are not mounted by themselves */
  /* Stays attached until DetachVirtualDisk(), whatever handles are closed. */
  ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME = 0x00000004,
  /* No block device: the handle itself reads and writes. */
  ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST = 0x00000008,
  ATTACH_VIRTUAL_DISK_FLAG_NO_SECURITY_DESCRIPTOR = 0x00000010,
  ATTACH_VIRTUAL_DISK_FLAG_BYPASS_DEFAULT_ENCRYPTION_POLICY = 0x00000020,
  ATTACH_VIRTUAL_DISK_FLAG_NON_PNP = 0x00000040,
  ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE = 0x00000080, /* needs version 2 */
  ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION = 0x00000100, /* show the one data partition only */
  ATTACH_VIRTUAL_DISK_FLAG_REGISTER_VOLUME = 0x00000200,  /* with NON_PNP */
  ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT = 0x00000400,          /* attach again when the host starts */
} ATTACH_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(ATTACH_VIRTUAL_DISK_FLAG)

typedef enum _DETACH_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  DETACH_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
} DETACH_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(DETACH_VIRTUAL_DISK_FLAG)

#if !defined(VIRTDISK_DEFINE_FLAGS)

/* Makes the disk appear as a block device of this host, or with NO_LOCAL_HOST opens the handle for ReadFile()
 * and WriteFile(). Needs ATTACH_RO or ATTACH_RW for a read-only attachment, ATTACH_RW for another. Without
 * PERMANENT_LIFETIME the attachment ends with the last handle that this process has to the image, or with the
 * process. Parameters may be NULL. Also with an Overlapped the call returns when the device answers.
 *
 * SecurityDescriptor has no meaning here: the system says who may open the device. Nor have NO_DRIVE_LETTER,
 * NO_SECURITY_DESCRIPTOR and BYPASS_DEFAULT_ENCRYPTION_POLICY. With NON_PNP the partitions get no devices,
 * unless REGISTER_VOLUME asks for them.
 *
 * While the disk is attached the handle leaves the image to it: other opens are judged by the rules of
 * attached disks (2), and the handle answers what it can without a lock.
 *
 *   ERROR_INVALID_PARAMETER (87): not a virtual disk handle; an unknown flag or Version;
 * ProviderSpecificFlags not 0; RESTRICTED_RANGE without version 2, or with a range that is not whole sectors
 * of the disk; REGISTER_VOLUME without NON_PNP; AT_BOOT without PERMANENT_LIFETIME; SINGLE_PARTITION on a
 * disk without exactly one ERROR_ACCESS_DENIED (5): the handle lacks the right ERROR_PRIVILEGE_NOT_HELD
 * (1314): the caller may not make block devices ERROR_SHARING_VIOLATION (32): attached already, or open
 * elsewhere ERROR_NOT_SUPPORTED (50): an ISO without READ_ONLY or with NO_LOCAL_HOST; NO_LOCAL_HOST with
 *       PERMANENT_LIFETIME; this host cannot make the device
 *   ERROR_VHD_INVALID_STATE: opened with BLANK_FILE, or a differencing disk without its parents
 *   ERROR_FILE_INVALID (1006): the path of the image names another file by now
 *
 * Source: 2 (sharing, lifetime), 3.3. */
VIRTDISK_API DWORD WINAPI AttachVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                            _In_opt_ PSECURITY_DESCRIPTOR SecurityDescriptor,
                                            _In_ ATTACH_VIRTUAL_DISK_FLAG Flags,
                                            _In_ ULONG ProviderSpecificFlags,
                                            _In_opt_ PATTACH_VIRTUAL_DISK_PARAMETERS Parameters,
                                            _In_opt_ LPOVERLAPPED Overlapped);

/* Ends the attachment, permanent or not, when what was written to the device is in the image. Needs DETACH or
 * a version 2 handle, which need not be the one that attached.
 *
 *   ERROR_INVALID_PARAMETER (87): not a virtual disk handle; Flags other than NONE; ProviderSpecificFlags not
 * 0 ERROR_NOT_FOUND (1168): not attached ERROR_BUSY (170): file systems of the disk are mounted, or somebody
 * has the device open; nothing was changed ERROR_ACCESS_DENIED (5): the handle lacks DETACH
 *   ERROR_PRIVILEGE_NOT_HELD (1314)
 *
 * Source: 3.4. */
VIRTDISK_API DWORD WINAPI DetachVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                            _In_ DETACH_VIRTUAL_DISK_FLAG Flags,
                                            _In_ ULONG ProviderSpecificFlags);

/* ---- Where disks are attached (3.5 to 3.7) ------------------------------------------------------------- */

/* The path of the block device of an attached disk, "/dev/loop3". *DiskPathSizeInBytes is the buffer's size
 * and becomes the size used. Needs GET_INFO.
 *
 *   ERROR_INVALID_PARAMETER (87): not a virtual disk handle; DiskPathSizeInBytes NULL, or DiskPath with a
 * size that is not 0 ERROR_INSUFFICIENT_BUFFER (122): *DiskPathSizeInBytes is now the size needed
 *   ERROR_DEV_NOT_EXIST (55): not attached, or without a device
 *   ERROR_ACCESS_DENIED (5): the handle lacks GET_INFO
 *
 * Source: 3.5. */
VIRTDISK_API DWORD WINAPI GetVirtualDiskPhysicalPath(_In_ HANDLE VirtualDiskHandle,
                                                     _Inout_ PULONG DiskPathSizeInBytes,
                                                     _Out_writes_bytes_(*DiskPathSizeInBytes) PWSTR DiskPath);

/* The image files, not the devices, of all disks that are attached to this host as devices and that the
 * caller may know of: strings one after another, an empty one last. *PathsBufferSizeInBytes is the buffer's
 * size and becomes the size used or needed. The list may grow between two calls: repeat while the code is
 * 122. With nothing attached the call succeeds even without a buffer.
 *
 *   ERROR_INVALID_PARAMETER (87): PathsBufferSizeInBytes NULL
 *   ERROR_INSUFFICIENT_BUFFER (122): *PathsBufferSizeInBytes is now the size needed
 *
 * Source: 1.5, 3.6. */
VIRTDISK_API DWORD WINAPI GetAllAttachedVirtualDiskPhysicalPaths(_Inout_ PULONG PathsBufferSizeInBytes,
                                                                 _Out_writes_bytes_(*PathsBufferSizeInBytes)
                                                                     PWSTR PathsBuffer);

#endif /* !VIRTDISK_DEFINE_FLAGS */

typedef enum _DEPENDENT_DISK_FLAG VIRTDISK_INT_ENUM {
  DEPENDENT_DISK_FLAG_NONE = 0x00000000,
  DEPENDENT_DISK_FLAG_MULT_BACKING_FILES = 0x00000001,
  DEPENDENT_DISK_FLAG_FULLY_ALLOCATED = 0x00000002,
  DEPENDENT_DISK_FLAG_READ_ONLY = 0x00000004,
  DEPENDENT_DISK_FLAG_REMOTE = 0x00000008,               /* the image file is not on this host */
  DEPENDENT_DISK_FLAG_SYSTEM_VOLUME = 0x00000010,        /* the volume is the system's */
  DEPENDENT_DISK_FLAG_SYSTEM_VOLUME_PARENT = 0x00000020, /* the image lies on the system's volume */
  DEPENDENT_DISK_FLAG_REMOVABLE = 0x00000040,
  DEPENDENT_DISK_FLAG_NO_DRIVE_LETTER = 0x00000080,
  DEPENDENT_DISK_FLAG_PARENT = 0x00000100,
  DEPENDENT_DISK_FLAG_NO_HOST_DISK = 0x00000200, /* attached without a block device */
  DEPENDENT_DISK_FLAG_PERMANENT_LIFETIME = 0x00000400,
  DEPENDENT_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES = 0x00000800,
  DEPENDENT_DISK_FLAG_ALWAYS_ALLOW_SPARSE = 0x00001000,
  DEPENDENT_DISK_FLAG_SUPPORT_ENCRYPTED_FILES = 0x00002000,
} DEPENDENT_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(DEPENDENT_DISK_FLAG)

#if !defined(VIRTDISK_DEFINE_FLAGS)

typedef enum _STORAGE_DEPENDENCY_INFO_VERSION VIRTDISK_INT_ENUM {
  STORAGE_DEPENDENCY_INFO_VERSION_UNSPECIFIED = 0,
  STORAGE_DEPENDENCY_INFO_VERSION_1 = 1,
  STORAGE_DEPENDENCY_INFO_VERSION_2 = 2,
} STORAGE_DEPENDENCY_INFO_VERSION;

typedef struct _STORAGE_DEPENDENCY_INFO_TYPE_1 {
  DEPENDENT_DISK_FLAG DependencyTypeFlags;
  ULONG ProviderSpecificFlags;
  VIRTUAL_STORAGE_TYPE VirtualStorageType;
} STORAGE_DEPENDENCY_INFO_TYPE_1, *PSTORAGE_DEPENDENCY_INFO_TYPE_1;

typedef struct _STORAGE_DEPENDENCY_INFO_TYPE_2 {
  DEPENDENT_DISK_FLAG DependencyTypeFlags;
  ULONG ProviderSpecificFlags;
  VIRTUAL_STORAGE_TYPE VirtualStorageType;
  ULONG AncestorLevel;        /* 0 at the root, one more for each child */
  PWSTR DependencyDeviceName; /* these four point into the caller's buffer, behind the entries */
  PWSTR HostVolumeName;
  PWSTR DependentVolumeName;
  PWSTR DependentVolumeRelativePath;
} STORAGE_DEPENDENCY_INFO_TYPE_2, *PSTORAGE_DEPENDENCY_INFO_TYPE_2;

/* Set Version before the call; NumberEntries follow. Arrays of length zero, because g++ rejects flexible
 * ones in a union (5). */
typedef struct _STORAGE_DEPENDENCY_INFO {
  STORAGE_DEPENDENCY_INFO_VERSION Version;
  ULONG NumberEntries;
  union {
    STORAGE_DEPENDENCY_INFO_TYPE_1 Version1Entries[0];
    STORAGE_DEPENDENCY_INFO_TYPE_2 Version2Entries[0];
  };
} STORAGE_DEPENDENCY_INFO, *PSTORAGE_DEPENDENCY_INFO;

#endif /* !VIRTDISK_DEFINE_FLAGS */

typedef enum _GET_STORAGE_DEPENDENCY_FLAG VIRTDISK_INT_ENUM {
  GET_STORAGE_DEPENDENCY_FLAG_NONE = 0x00000000,         /* what lies on the object */
  GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES = 0x00000001, /* what the object lies on */
  GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE = 0x00000002,  /* the handle is a disk's, not a volume's */
} GET_STORAGE_DEPENDENCY_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(GET_STORAGE_DEPENDENCY_FLAG)

#define GET_STORAGE_DEPENDENCY_FLAG_PARENTS GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES

#if !defined(VIRTDISK_DEFINE_FLAGS)

/* With HOST_VOLUMES: the image files that ObjectHandle lies on, leaf first. Without: those that lie on it;
 * none is a success. ObjectHandle comes from VirtdiskHandleFromPath(), or is that of a virtual disk;
 * DISK_HANDLE may be given or left out. *SizeUsed, if given, becomes the size used or needed; the strings of
 * version 2 lie in the caller's buffer behind the entries and are freed with it. A volume is a mounted file
 * system, named by its mount point: HostVolumeName and DependentVolumeRelativePath together name the image
 * file. DependencyDeviceName is the block device, DependentVolumeName where it is mounted, each "" if there
 * is none.
 *
 *   ERROR_INVALID_PARAMETER (87): StorageDependencyInfo NULL; StorageDependencyInfoSize below that of the
 *       structure; an unknown Version or flag
 *   ERROR_INSUFFICIENT_BUFFER (122): *SizeUsed is the size needed
 *   ERROR_INVALID_HANDLE (6): ObjectHandle is not open
 *   ERROR_VIRTDISK_NOT_VIRTUAL_DISK: with HOST_VOLUMES: no virtual disk is involved
 *
 * Source: 3.7, 6 (G1, G2). */
VIRTDISK_API DWORD WINAPI GetStorageDependencyInformation(
    _In_ HANDLE ObjectHandle, _In_ GET_STORAGE_DEPENDENCY_FLAG Flags, _In_ ULONG StorageDependencyInfoSize,
    _Inout_ PSTORAGE_DEPENDENCY_INFO StorageDependencyInfo, _Inout_opt_ PULONG SizeUsed);

/* ---- GetVirtualDiskInformation, SetVirtualDiskInformation (3.8, 3.9) ----------------------------------- */

typedef enum _GET_VIRTUAL_DISK_INFO_VERSION VIRTDISK_INT_ENUM {
  GET_VIRTUAL_DISK_INFO_UNSPECIFIED = 0,
  GET_VIRTUAL_DISK_INFO_SIZE = 1,
  GET_VIRTUAL_DISK_INFO_IDENTIFIER = 2,
  GET_VIRTUAL_DISK_INFO_PARENT_LOCATION = 3,
  GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER = 4,
  GET_VIRTUAL_DISK_INFO_PARENT_TIMESTAMP = 5,
  GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE = 6,
  GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE = 7,
  GET_VIRTUAL_DISK_INFO_IS_4K_ALIGNED = 8,
  GET_VIRTUAL_DISK_INFO_PHYSICAL_DISK = 9,
  GET_VIRTUAL_DISK_INFO_VHD_PHYSICAL_SECTOR_SIZE = 10,
  GET_VIRTUAL_DISK_INFO_SMALLEST_SAFE_VIRTUAL_SIZE = 11,
  GET_VIRTUAL_DISK_INFO_FRAGMENTATION = 12,
  GET_VIRTUAL_DISK_INFO_IS_LOADED = 13,
  GET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID = 14,
  GET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE = 15,
} GET_VIRTUAL_DISK_INFO_VERSION;

typedef struct _GET_VIRTUAL_DISK_INFO {
  GET_VIRTUAL_DISK_INFO_VERSION Version; /* set by the caller: which member is wanted */
  union {
    struct {
      ULONGLONG VirtualSize;
      ULONGLONG PhysicalSize; /* of the image file */
      ULONG BlockSize;        /* 0 for a fixed VHD */
      ULONG SectorSize;       /* logical */
    } Size;
    GUID Identifier; /* stays the same when the file is copied */
    struct {
      BOOL ParentResolved;           /* TRUE: one path. FALSE: every candidate, an empty string last */
      WCHAR ParentLocationBuffer[1]; /* as long as VirtualDiskInfoSize allows */
    } ParentLocation;
    GUID ParentIdentifier;
    ULONG ParentTimestamp; /* as the format stores it */
    VIRTUAL_STORAGE_TYPE VirtualStorageType;
    ULONG ProviderSubtype; /* 2 fixed, 3 dynamic, 4 differencing */
    BOOL Is4kAligned;
    BOOL IsLoaded; /* attached and in use */
    struct {
      ULONG LogicalSectorSize; /* of the disk that holds the image file */
      ULONG PhysicalSectorSize;
      BOOL IsRemote;
    } PhysicalDisk;
    ULONG VhdPhysicalSectorSize; /* of the virtual disk */
    ULONGLONG SmallestSafeVirtualSize;
    ULONG FragmentationPercentage;
    GUID VirtualDiskId; /* what the disk shows as its SCSI identifier */
    struct {
      BOOL Enabled;
      BOOL NewerChanges;
      WCHAR MostRecentId[1];
    } ChangeTrackingState;
  };
} GET_VIRTUAL_DISK_INFO, *PGET_VIRTUAL_DISK_INFO;

/* In characters. */
#define VIRTUAL_DISK_MAXIMUM_CHANGE_TRACKING_ID_LENGTH 256

/* Answers the question in VirtualDiskInfo->Version. Needs GET_INFO; the disk need not be attached.
 *
 * *VirtualDiskInfoSize is the size of VirtualDiskInfo. Success leaves it as it is, so that the same
 * variable serves the next query (1.4); *SizeUsed, if given, becomes the size used or needed.
 *
 *   ERROR_INVALID_PARAMETER (87): a NULL argument other than SizeUsed; an unknown Version
 *   ERROR_INVALID_HANDLE (6): not a virtual disk handle
 *   ERROR_INSUFFICIENT_BUFFER (122): *VirtualDiskInfoSize and *SizeUsed are now the size needed
 *   ERROR_ACCESS_DENIED (5): the handle lacks GET_INFO
 *   ERROR_VHD_INVALID_TYPE: PARENT_* of a disk without a parent
 *   ERROR_VHD_COULD_NOT_COMPUTE_MINIMUM_VIRTUAL_SIZE: SMALLEST_SAFE_VIRTUAL_SIZE without a partition table
 *       that can be read
 *   ERROR_CALL_NOT_IMPLEMENTED (120): a question that needs a part not built yet
 *   and codes of reading a corrupt image (8)
 *
 * Source: 3.8. */
VIRTDISK_API DWORD WINAPI GetVirtualDiskInformation(_In_ HANDLE VirtualDiskHandle,
                                                    _Inout_ PULONG VirtualDiskInfoSize,
                                                    _Inout_updates_bytes_to_(*VirtualDiskInfoSize,
                                                                             *VirtualDiskInfoSize)
                                                        PGET_VIRTUAL_DISK_INFO VirtualDiskInfo,
                                                    _Out_opt_ PULONG SizeUsed);

typedef enum _SET_VIRTUAL_DISK_INFO_VERSION VIRTDISK_INT_ENUM {
  SET_VIRTUAL_DISK_INFO_UNSPECIFIED = 0,
  SET_VIRTUAL_DISK_INFO_PARENT_PATH = 1,
  SET_VIRTUAL_DISK_INFO_IDENTIFIER = 2,
  SET_VIRTUAL_DISK_INFO_PARENT_PATH_WITH_DEPTH = 3,
  SET_VIRTUAL_DISK_INFO_PHYSICAL_SECTOR_SIZE = 4,
  SET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID = 5,
  SET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE = 6,
  SET_VIRTUAL_DISK_INFO_PARENT_LOCATOR = 7,
} SET_VIRTUAL_DISK_INFO_VERSION;

typedef struct _SET_VIRTUAL_DISK_INFO {
  SET_VIRTUAL_DISK_INFO_VERSION Version; /* which member is to be set */
  union {
    PCWSTR ParentFilePath;
    GUID UniqueIdentifier; /* children no longer match their parent afterwards */
    struct {
      ULONG ChildDepth; /* 1 is the leaf */
      PCWSTR ParentFilePath;
    } ParentPathWithDepthInfo;
    ULONG VhdPhysicalSectorSize; /* 512 or 4096; VHDX only */
    GUID VirtualDiskId;          /* VHDX only, not zero */
    BOOL ChangeTrackingEnabled;
    struct {
      GUID LinkageId;
      PCWSTR ParentFilePath;
    } ParentLocator;
  };
} SET_VIRTUAL_DISK_INFO, *PSET_VIRTUAL_DISK_INFO;

/* Changes what is named by VirtualDiskInfo->Version. Needs METAOPS and a disk that is not attached, except
 * for change tracking and for a parent with depth. Setting a parent also stores that parent's identity in
 * the child.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): VirtualDiskInfo NULL; an unknown Version; a value that is not allowed
 *   ERROR_INVALID_HANDLE (6): not a virtual disk handle
 *   ERROR_ACCESS_DENIED (5): the handle lacks METAOPS or is read-only
 *   ERROR_VHD_INVALID_TYPE: the disk has no such property
 *   ERROR_VHD_INVALID_STATE: attached
 *   ERROR_VHD_PARENT_VHD_NOT_FOUND, ERROR_VHD_CHILD_PARENT_ID_MISMATCH,
 *       ERROR_VHD_DIFFERENCING_CHAIN_CYCLE_DETECTED
 *
 * Source: 3.9. */
VIRTDISK_API DWORD WINAPI SetVirtualDiskInformation(_In_ HANDLE VirtualDiskHandle,
                                                    _In_ PSET_VIRTUAL_DISK_INFO VirtualDiskInfo);

/* ---- User metadata (3.12) ------------------------------------------------------------------------------ */

/* Items named by GUID in a VHDX or VHD Set; a VHD has none: ERROR_NOT_SUPPORTED (50). Query with GET_INFO,
 * change with METAOPS, and with a version 2 handle or later either. All four: ERROR_INVALID_PARAMETER (87)
 * for a NULL pointer that is needed, ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5), ERROR_NOT_FOUND
 * (1168) for an item that is not there. */

#if (NTDDI_VERSION >= NTDDI_WIN8)

/* The GUIDs of all items. *NumberOfItems, an item count, is what Items can hold and becomes what there is.
 * Items may be NULL when it is 0. ERROR_MORE_DATA (234) when there are more than fit.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Source: 3.12. */
VIRTDISK_API DWORD WINAPI EnumerateVirtualDiskMetadata(_In_ HANDLE VirtualDiskHandle,
                                                       _Inout_ PULONG NumberOfItems,
                                                       _Out_writes_(*NumberOfItems) GUID* Items);

/* One item's bytes. *MetaDataSize is what MetaData can hold and becomes what the item has; ERROR_MORE_DATA
 * (234) if that is more, with the beginning delivered.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Source: 3.12. */
VIRTDISK_API DWORD WINAPI GetVirtualDiskMetadata(_In_ HANDLE VirtualDiskHandle, _In_ const GUID* Item,
                                                 _Inout_ PULONG MetaDataSize,
                                                 _Out_writes_bytes_(*MetaDataSize) PVOID MetaData);

/* Stores an item, new or in place of the old one. The zero GUID is invalid (87); ERROR_VHD_METADATA_FULL
 * when the format's limits are reached. Durability: on the host's storage when the call returns.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Source: 3.12. */
VIRTDISK_API DWORD WINAPI SetVirtualDiskMetadata(_In_ HANDLE VirtualDiskHandle, _In_ const GUID* Item,
                                                 _In_ ULONG MetaDataSize,
                                                 _In_reads_bytes_(MetaDataSize) const void* MetaData);

/* Removes an item. Durability: on the host's storage when the call returns.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Source: 3.12. */
VIRTDISK_API DWORD WINAPI DeleteVirtualDiskMetadata(_In_ HANDLE VirtualDiskHandle, _In_ const GUID* Item);

#endif /* NTDDI_WIN8 */

/* ---- Progress (3.10) ----------------------------------------------------------------------------------- */

/* Both values belong together, mean something only while OperationStatus is ERROR_IO_PENDING, and may go
 * down. CompletionValue is then never 0. */
typedef struct _VIRTUAL_DISK_PROGRESS {
  DWORD OperationStatus; /* ERROR_IO_PENDING (997) while it runs, then its result */
  ULONGLONG CurrentValue;
  ULONGLONG CompletionValue;
} VIRTUAL_DISK_PROGRESS, *PVIRTUAL_DISK_PROGRESS;

/* How far the operation started with this very Overlapped is; after its end, its result. It is remembered
 * until Overlapped is given to another operation on the handle, or 64 more have ended. Reads and writes are
 * not, see GetOverlappedResult().
 *
 *   ERROR_INVALID_PARAMETER (87): Overlapped or Progress NULL
 *   ERROR_INVALID_HANDLE (6): not a virtual disk handle
 *   ERROR_NOT_FOUND (1168): no operation was started with Overlapped
 *
 * Source: 3.10. */
VIRTDISK_API DWORD WINAPI GetVirtualDiskOperationProgress(_In_ HANDLE VirtualDiskHandle,
                                                          _In_ LPOVERLAPPED Overlapped,
                                                          _Out_ PVIRTUAL_DISK_PROGRESS Progress);

/* ---- CompactVirtualDisk (3.11) ------------------------------------------------------------------------- */

typedef enum _COMPACT_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  COMPACT_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  COMPACT_VIRTUAL_DISK_VERSION_1 = 1,
} COMPACT_VIRTUAL_DISK_VERSION;

typedef struct _COMPACT_VIRTUAL_DISK_PARAMETERS {
  COMPACT_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONG Reserved;
    } Version1;
  };
} COMPACT_VIRTUAL_DISK_PARAMETERS, *PCOMPACT_VIRTUAL_DISK_PARAMETERS;

typedef enum _COMPACT_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  COMPACT_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
  COMPACT_VIRTUAL_DISK_FLAG_NO_ZERO_SCAN = 0x00000001,
  COMPACT_VIRTUAL_DISK_FLAG_NO_BLOCK_MOVES = 0x00000002,
} COMPACT_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(COMPACT_VIRTUAL_DISK_FLAG)

/* Shrinks the file of a dynamic or differencing disk. Detached it drops blocks of zeros; attached
 * read-only, with ATTACH_RO beside METAOPS, it also drops what the file system does not use. May be
 * cancelled and continued later; success may mean that there was nothing to gain. Parameters may be NULL.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): an unknown flag or Version
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5)
 *   ERROR_VHD_INVALID_TYPE: a fixed disk
 *   ERROR_VHD_INVALID_STATE: attached for writing
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.11. */
VIRTDISK_API DWORD WINAPI CompactVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                             _In_ COMPACT_VIRTUAL_DISK_FLAG Flags,
                                             _In_opt_ PCOMPACT_VIRTUAL_DISK_PARAMETERS Parameters,
                                             _In_opt_ LPOVERLAPPED Overlapped);

/* ---- MergeVirtualDisk (3.13) --------------------------------------------------------------------------- */

#define MERGE_VIRTUAL_DISK_DEFAULT_MERGE_DEPTH 1

typedef enum _MERGE_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  MERGE_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  MERGE_VIRTUAL_DISK_VERSION_1 = 1,
  MERGE_VIRTUAL_DISK_VERSION_2 = 2, /* the disk may be in use */
} MERGE_VIRTUAL_DISK_VERSION;

typedef struct _MERGE_VIRTUAL_DISK_PARAMETERS {
  MERGE_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONG MergeDepth; /* parents to merge through; the open's RWDepth must be larger */
    } Version1;
    struct {
      ULONG MergeSourceDepth; /* 1 is the leaf */
      ULONG MergeTargetDepth;
    } Version2;
  };
} MERGE_VIRTUAL_DISK_PARAMETERS, *PMERGE_VIRTUAL_DISK_PARAMETERS;

typedef enum _MERGE_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  MERGE_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
} MERGE_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(MERGE_VIRTUAL_DISK_FLAG)

/* Moves a child's data into a parent. The files above the target become invalid but are neither deleted nor
 * relinked, and so do all other children of the target. Needs METAOPS; version 1 needs the disk detached. A
 * cancelled merge leaves the child usable and may be run again.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters NULL; an unknown flag or Version; a depth outside the chain or
 *       not opened for writing
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5)
 *   ERROR_VHD_INVALID_TYPE: not a differencing disk
 *   ERROR_VHD_INVALID_STATE: attached, with version 1
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.13. */
VIRTDISK_API DWORD WINAPI MergeVirtualDisk(_In_ HANDLE VirtualDiskHandle, _In_ MERGE_VIRTUAL_DISK_FLAG Flags,
                                           _In_ PMERGE_VIRTUAL_DISK_PARAMETERS Parameters,
                                           _In_opt_ LPOVERLAPPED Overlapped);

/* ---- ExpandVirtualDisk, ResizeVirtualDisk (3.14) ------------------------------------------------------- */

typedef enum _EXPAND_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  EXPAND_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  EXPAND_VIRTUAL_DISK_VERSION_1 = 1,
} EXPAND_VIRTUAL_DISK_VERSION;

typedef struct _EXPAND_VIRTUAL_DISK_PARAMETERS {
  EXPAND_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONGLONG NewSize;
    } Version1;
  };
} EXPAND_VIRTUAL_DISK_PARAMETERS, *PEXPAND_VIRTUAL_DISK_PARAMETERS;

typedef enum _EXPAND_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  EXPAND_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
  EXPAND_VIRTUAL_DISK_FLAG_NOTIFY_CHANGE = 0x00000001,
} EXPAND_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(EXPAND_VIRTUAL_DISK_FLAG)

/* Makes a fixed or dynamic disk larger, in place. Needs METAOPS and a detached disk.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters NULL; an unknown flag or Version; NewSize smaller than now or
 *       no multiple of the sector size
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5), ERROR_DISK_FULL (112)
 *   ERROR_VHD_INVALID_TYPE: a differencing disk
 *   ERROR_VHD_INVALID_STATE: attached
 *   ERROR_VHD_INVALID_SIZE: above the format's maximum
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.14. */
VIRTDISK_API DWORD WINAPI ExpandVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                            _In_ EXPAND_VIRTUAL_DISK_FLAG Flags,
                                            _In_ PEXPAND_VIRTUAL_DISK_PARAMETERS Parameters,
                                            _In_opt_ LPOVERLAPPED Overlapped);

typedef enum _RESIZE_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  RESIZE_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  RESIZE_VIRTUAL_DISK_VERSION_1 = 1,
} RESIZE_VIRTUAL_DISK_VERSION;

typedef struct _RESIZE_VIRTUAL_DISK_PARAMETERS {
  RESIZE_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      ULONGLONG NewSize; /* 0 with RESIZE_TO_SMALLEST_SAFE_VIRTUAL_SIZE */
    } Version1;
  };
} RESIZE_VIRTUAL_DISK_PARAMETERS, *PRESIZE_VIRTUAL_DISK_PARAMETERS;

typedef enum _RESIZE_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  RESIZE_VIRTUAL_DISK_FLAG_NONE = 0x0,
  /* Do not look at the partition table: data may be cut off. */
  RESIZE_VIRTUAL_DISK_FLAG_ALLOW_UNSAFE_VIRTUAL_SIZE = 0x1,
  RESIZE_VIRTUAL_DISK_FLAG_RESIZE_TO_SMALLEST_SAFE_VIRTUAL_SIZE = 0x2,
} RESIZE_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(RESIZE_VIRTUAL_DISK_FLAG)

#if (NTDDI_VERSION >= NTDDI_WIN8)

/* Makes a disk larger or, VHDX only, smaller. Needs METAOPS. Not below the end of the last partition,
 * unless ALLOW_UNSAFE_VIRTUAL_SIZE.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters NULL; an unknown flag or Version; NewSize no multiple of the
 *       sector size, or not 0 with RESIZE_TO_SMALLEST_SAFE_VIRTUAL_SIZE
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5), ERROR_DISK_FULL (112)
 *   ERROR_VHD_INVALID_TYPE: this type of disk cannot be resized in that direction
 *   ERROR_VHD_INVALID_STATE: in use
 *   ERROR_VHD_INVALID_SIZE: above the format's maximum
 *   ERROR_VHD_RESIZE_WOULD_TRUNCATE_DATA, ERROR_VHD_COULD_NOT_COMPUTE_MINIMUM_VIRTUAL_SIZE,
 *   ERROR_VHD_ALREADY_AT_OR_BELOW_MINIMUM_VIRTUAL_SIZE
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.14. */
VIRTDISK_API DWORD WINAPI ResizeVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                            _In_ RESIZE_VIRTUAL_DISK_FLAG Flags,
                                            _In_ PRESIZE_VIRTUAL_DISK_PARAMETERS Parameters,
                                            _In_opt_ LPOVERLAPPED Overlapped);

#endif /* NTDDI_WIN8 */

/* ---- MirrorVirtualDisk, BreakMirrorVirtualDisk (3.15) -------------------------------------------------- */

typedef enum _MIRROR_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  MIRROR_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  MIRROR_VIRTUAL_DISK_VERSION_1 = 1,
} MIRROR_VIRTUAL_DISK_VERSION;

typedef struct _MIRROR_VIRTUAL_DISK_PARAMETERS {
  MIRROR_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      PCWSTR MirrorVirtualDiskPath;
    } Version1;
  };
} MIRROR_VIRTUAL_DISK_PARAMETERS, *PMIRROR_VIRTUAL_DISK_PARAMETERS;

typedef enum _MIRROR_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  MIRROR_VIRTUAL_DISK_FLAG_NONE = 0x00000000,          /* the target must not exist */
  MIRROR_VIRTUAL_DISK_FLAG_EXISTING_FILE = 0x00000001, /* the target must exist */
  MIRROR_VIRTUAL_DISK_FLAG_SKIP_MIRROR_ACTIVATION = 0x00000002,
  MIRROR_VIRTUAL_DISK_FLAG_ENABLE_SMB_COMPRESSION = 0x00000004,
  MIRROR_VIRTUAL_DISK_FLAG_IS_LIVE_MIGRATION = 0x00000008,
} MIRROR_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(MIRROR_VIRTUAL_DISK_FLAG)

#if (NTDDI_VERSION >= NTDDI_WIN8)

/* Copies the disk while it is in use and from then on writes to both. Needs a version 2 handle. Stays
 * pending until it is cancelled (the original stays current) or broken; the copy is complete when
 * CurrentValue equals CompletionValue while the status is still 997.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters or Overlapped NULL; an unknown flag or Version
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5), ERROR_DISK_FULL (112)
 *   ERROR_FILE_EXISTS (80): the target exists, without EXISTING_FILE
 *   ERROR_FILE_NOT_FOUND (2): it does not, with EXISTING_FILE
 *   ERROR_VHD_INVALID_STATE: a mirror exists already
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.15. */
VIRTDISK_API DWORD WINAPI MirrorVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                            _In_ MIRROR_VIRTUAL_DISK_FLAG Flags,
                                            _In_ PMIRROR_VIRTUAL_DISK_PARAMETERS Parameters,
                                            _In_ LPOVERLAPPED Overlapped);

/* Ends a complete mirror: the copy becomes the current file, the old one is not deleted. The mirror's
 * operation then ends with ERROR_SUCCESS; wait for that.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_HANDLE (6)
 *   ERROR_VHD_INVALID_STATE: no mirror, or not complete
 *
 * Source: 3.15. */
VIRTDISK_API DWORD WINAPI BreakMirrorVirtualDisk(_In_ HANDLE VirtualDiskHandle);

/* ---- AddVirtualDiskParent (3.16) ----------------------------------------------------------------------- */

/* Adds one parent on top of a chain that was opened with version 2, ReadOnly and CUSTOM_DIFF_CHAIN. Call
 * once for each layer, from the leaf's parent up; the stored locators are not changed.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): ParentPath NULL; a handle opened otherwise
 *   ERROR_INVALID_HANDLE (6)
 *   ERROR_VHD_CHILD_PARENT_ID_MISMATCH, ERROR_VHD_CHILD_PARENT_TIMESTAMP_MISMATCH,
 *   ERROR_VHD_CHILD_PARENT_SIZE_MISMATCH, ERROR_VHD_DIFFERENCING_CHAIN_CYCLE_DETECTED
 *   and what OpenVirtualDisk() returns for the parent
 *
 * Source: 3.16. */
VIRTDISK_API DWORD WINAPI AddVirtualDiskParent(_In_ HANDLE VirtualDiskHandle, _In_ PCWSTR ParentPath);

#endif /* NTDDI_WIN8 */

/* ---- QueryChangesVirtualDisk (3.17) -------------------------------------------------------------------- */

typedef struct _QUERY_CHANGES_VIRTUAL_DISK_RANGE {
  ULONG64 ByteOffset;
  ULONG64 ByteLength;
  ULONG64 Reserved;
} QUERY_CHANGES_VIRTUAL_DISK_RANGE, *PQUERY_CHANGES_VIRTUAL_DISK_RANGE;

typedef enum _QUERY_CHANGES_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  QUERY_CHANGES_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
} QUERY_CHANGES_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(QUERY_CHANGES_VIRTUAL_DISK_FLAG)

/* ---- VHD Sets (3.18) ----------------------------------------------------------------------------------- */

typedef enum _TAKE_SNAPSHOT_VHDSET_FLAG VIRTDISK_INT_ENUM {
  TAKE_SNAPSHOT_VHDSET_FLAG_NONE = 0x00000000,
  TAKE_SNAPSHOT_VHDSET_FLAG_WRITEABLE = 0x00000001,
} TAKE_SNAPSHOT_VHDSET_FLAG,
    *PTAKE_SNAPSHOT_VHDSET_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(TAKE_SNAPSHOT_VHDSET_FLAG)

typedef enum _TAKE_SNAPSHOT_VHDSET_VERSION VIRTDISK_INT_ENUM {
  TAKE_SNAPSHOT_VHDSET_VERSION_UNSPECIFIED = 0,
  TAKE_SNAPSHOT_VHDSET_VERSION_1 = 1,
} TAKE_SNAPSHOT_VHDSET_VERSION;

typedef struct _TAKE_SNAPSHOT_VHDSET_PARAMETERS {
  TAKE_SNAPSHOT_VHDSET_VERSION Version;
  union {
    struct {
      GUID SnapshotId; /* of the new snapshot */
    } Version1;
  };
} TAKE_SNAPSHOT_VHDSET_PARAMETERS, *PTAKE_SNAPSHOT_VHDSET_PARAMETERS;

typedef enum _DELETE_SNAPSHOT_VHDSET_FLAG VIRTDISK_INT_ENUM {
  DELETE_SNAPSHOT_VHDSET_FLAG_NONE = 0x00000000,
  DELETE_SNAPSHOT_VHDSET_FLAG_PERSIST_RCT = 0x00000001, /* keep a reference point for change tracking */
} DELETE_SNAPSHOT_VHDSET_FLAG,
    *PDELETE_SNAPSHOT_VHDSET_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(DELETE_SNAPSHOT_VHDSET_FLAG)

typedef enum _DELETE_SNAPSHOT_VHDSET_VERSION VIRTDISK_INT_ENUM {
  DELETE_SNAPSHOT_VHDSET_VERSION_UNSPECIFIED = 0,
  DELETE_SNAPSHOT_VHDSET_VERSION_1 = 1,
} DELETE_SNAPSHOT_VHDSET_VERSION;

typedef struct _DELETE_SNAPSHOT_VHDSET_PARAMETERS {
  DELETE_SNAPSHOT_VHDSET_VERSION Version;
  union {
    struct {
      GUID SnapshotId;
    } Version1;
  };
} DELETE_SNAPSHOT_VHDSET_PARAMETERS, *PDELETE_SNAPSHOT_VHDSET_PARAMETERS;

typedef enum _MODIFY_VHDSET_VERSION VIRTDISK_INT_ENUM {
  MODIFY_VHDSET_UNSPECIFIED = 0,
  MODIFY_VHDSET_SNAPSHOT_PATH = 1,
  MODIFY_VHDSET_REMOVE_SNAPSHOT = 2,
  MODIFY_VHDSET_DEFAULT_SNAPSHOT_PATH = 3,
} MODIFY_VHDSET_VERSION,
    *PMODIFY_VHDSET_VERSION;

typedef enum _MODIFY_VHDSET_FLAG VIRTDISK_INT_ENUM {
  MODIFY_VHDSET_FLAG_NONE = 0x00000000,
  MODIFY_VHDSET_FLAG_WRITEABLE_SNAPSHOT = 0x00000001,
} MODIFY_VHDSET_FLAG,
    *PMODIFY_VHDSET_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(MODIFY_VHDSET_FLAG)

typedef struct _MODIFY_VHDSET_PARAMETERS {
  MODIFY_VHDSET_VERSION Version;
  union {
    struct {
      GUID SnapshotId;
      PCWSTR SnapshotFilePath;
    } SnapshotPath;         /* SNAPSHOT_PATH: add this one or give it this file */
    GUID SnapshotId;        /* REMOVE_SNAPSHOT */
    PCWSTR DefaultFilePath; /* DEFAULT_SNAPSHOT_PATH: the active leaf */
  };
} MODIFY_VHDSET_PARAMETERS, *PMODIFY_VHDSET_PARAMETERS;

typedef enum _APPLY_SNAPSHOT_VHDSET_FLAG VIRTDISK_INT_ENUM {
  APPLY_SNAPSHOT_VHDSET_FLAG_NONE = 0x00000000,
  APPLY_SNAPSHOT_VHDSET_FLAG_WRITEABLE = 0x00000001, /* the snapshot applied is a writeable one */
} APPLY_SNAPSHOT_VHDSET_FLAG,
    *PAPPLY_SNAPSHOT_VHDSET_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(APPLY_SNAPSHOT_VHDSET_FLAG)

typedef enum _APPLY_SNAPSHOT_VHDSET_VERSION VIRTDISK_INT_ENUM {
  APPLY_SNAPSHOT_VHDSET_VERSION_UNSPECIFIED = 0,
  APPLY_SNAPSHOT_VHDSET_VERSION_1 = 1,
} APPLY_SNAPSHOT_VHDSET_VERSION;

typedef struct _APPLY_SNAPSHOT_VHDSET_PARAMETERS {
  APPLY_SNAPSHOT_VHDSET_VERSION Version;
  union {
    struct {
      GUID SnapshotId;
      GUID LeafSnapshotId; /* zero discards the active leaf's data, else they become this snapshot */
    } Version1;
  };
} APPLY_SNAPSHOT_VHDSET_PARAMETERS, *PAPPLY_SNAPSHOT_VHDSET_PARAMETERS;

/* ---- RawSCSIVirtualDisk (3.19) ------------------------------------------------------------------------- */

typedef enum _RAW_SCSI_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  RAW_SCSI_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
} RAW_SCSI_VIRTUAL_DISK_FLAG,
    *PRAW_SCSI_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(RAW_SCSI_VIRTUAL_DISK_FLAG)

typedef enum _RAW_SCSI_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  RAW_SCSI_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  RAW_SCSI_VIRTUAL_DISK_VERSION_1 = 1,
} RAW_SCSI_VIRTUAL_DISK_VERSION;

typedef struct _RAW_SCSI_VIRTUAL_DISK_PARAMETERS {
  RAW_SCSI_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      BOOL RSVDHandle; /* the handle is a remote shared disk's */
      UCHAR DataIn;    /* nonzero: the command reads into DataBuffer */
      UCHAR CdbLength;
      UCHAR SenseInfoLength;
      ULONG SrbFlags;
      ULONG DataTransferLength;
      _Field_size_bytes_full_(DataTransferLength) PVOID DataBuffer;
      _Field_size_bytes_full_(SenseInfoLength) UCHAR* SenseInfo;
      _Field_size_bytes_full_(CdbLength) UCHAR* Cdb;
    } Version1;
  };
} RAW_SCSI_VIRTUAL_DISK_PARAMETERS, *PRAW_SCSI_VIRTUAL_DISK_PARAMETERS;

typedef struct _RAW_SCSI_VIRTUAL_DISK_RESPONSE {
  RAW_SCSI_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      UCHAR ScsiStatus;
      UCHAR SenseInfoLength;    /* bytes written to SenseInfo */
      ULONG DataTransferLength; /* bytes moved to or from DataBuffer */
    } Version1;
  };
} RAW_SCSI_VIRTUAL_DISK_RESPONSE, *PRAW_SCSI_VIRTUAL_DISK_RESPONSE;

#if (NTDDI_VERSION >= NTDDI_WINTHRESHOLD)

/* Which ranges changed since ChangeTrackingId. *RangeCount is what Ranges can hold and becomes what was
 * filled in. *ProcessedLength is how much of ByteLength was looked at: go on from there. Needs GET_INFO.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): a NULL argument; Flags other than NONE; a range outside the disk
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5)
 *   ERROR_VHD_INVALID_CHANGE_TRACKING_ID: the id is malformed
 *   ERROR_VHD_CHANGE_TRACKING_DISABLED: the disk is not tracked
 *   ERROR_VHD_MISSING_CHANGE_TRACKING_INFORMATION: nothing is known since that id
 *   ERROR_CTLOG_VHD_CHANGED_OFFLINE: changes were made without tracking
 *
 * Source: 3.17. */
VIRTDISK_API DWORD WINAPI QueryChangesVirtualDisk(_In_ HANDLE VirtualDiskHandle, _In_ PCWSTR ChangeTrackingId,
                                                  _In_ ULONG64 ByteOffset, _In_ ULONG64 ByteLength,
                                                  _In_ QUERY_CHANGES_VIRTUAL_DISK_FLAG Flags,
                                                  _Out_writes_to_(*RangeCount, *RangeCount)
                                                      PQUERY_CHANGES_VIRTUAL_DISK_RANGE Ranges,
                                                  _Inout_ PULONG RangeCount, _Out_ PULONG64 ProcessedLength);

/* The four calls on VHD Sets share their codes. ERROR_INVALID_PARAMETER (87): Parameters NULL, an unknown
 * flag or Version. ERROR_INVALID_HANDLE (6). ERROR_ACCESS_DENIED (5). ERROR_VHD_INVALID_TYPE: the handle is
 * not a VHD Set's. ERROR_NOT_FOUND (1168): no snapshot of that id; ERROR_ALREADY_EXISTS (183): one too
 * many. ERROR_VHDSET_BACKING_STORAGE_NOT_FOUND: a file of the set is missing. Source: 3.18. */

/* Keeps the state of the active disk as a snapshot.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Codes: above. */
VIRTDISK_API DWORD WINAPI TakeSnapshotVhdSet(_In_ HANDLE VirtualDiskHandle,
                                             _In_ const PTAKE_SNAPSHOT_VHDSET_PARAMETERS Parameters,
                                             _In_ TAKE_SNAPSHOT_VHDSET_FLAG Flags);

/* Removes a snapshot, with PERSIST_RCT down to a reference point.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Codes: above. */
VIRTDISK_API DWORD WINAPI DeleteSnapshotVhdSet(_In_ HANDLE VirtualDiskHandle,
                                               _In_ const PDELETE_SNAPSHOT_VHDSET_PARAMETERS Parameters,
                                               _In_ DELETE_SNAPSHOT_VHDSET_FLAG Flags);

/* Changes what the set records of its files.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Codes: above. */
VIRTDISK_API DWORD WINAPI ModifyVhdSet(_In_ HANDLE VirtualDiskHandle,
                                       _In_ const PMODIFY_VHDSET_PARAMETERS Parameters,
                                       _In_ MODIFY_VHDSET_FLAG Flags);

/* Puts a snapshot's state into the active disk.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120). Codes: above. */
VIRTDISK_API DWORD WINAPI ApplySnapshotVhdSet(_In_ HANDLE VirtualDiskHandle,
                                              _In_ const PAPPLY_SNAPSHOT_VHDSET_PARAMETERS Parameters,
                                              _In_ APPLY_SNAPSHOT_VHDSET_FLAG Flags);

/* Hands a SCSI command to the disk. Success means that the disk received it: Response->Version1.ScsiStatus
 * tells how it fared.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters or Response NULL; an unknown flag or Version
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5)
 *
 * Source: 3.19. */
VIRTDISK_API DWORD WINAPI RawSCSIVirtualDisk(_In_ HANDLE VirtualDiskHandle,
                                             _In_ const PRAW_SCSI_VIRTUAL_DISK_PARAMETERS Parameters,
                                             _In_ RAW_SCSI_VIRTUAL_DISK_FLAG Flags,
                                             _Out_ PRAW_SCSI_VIRTUAL_DISK_RESPONSE Response);

#endif /* NTDDI_WINTHRESHOLD */

/* ---- ForkVirtualDisk, CompleteForkVirtualDisk (3.20) --------------------------------------------------- */

#if (NTDDI_VERSION >= NTDDI_WIN10_RS5)

typedef enum _FORK_VIRTUAL_DISK_VERSION VIRTDISK_INT_ENUM {
  FORK_VIRTUAL_DISK_VERSION_UNSPECIFIED = 0,
  FORK_VIRTUAL_DISK_VERSION_1 = 1,
} FORK_VIRTUAL_DISK_VERSION;

typedef struct _FORK_VIRTUAL_DISK_PARAMETERS {
  FORK_VIRTUAL_DISK_VERSION Version;
  union {
    struct {
      PCWSTR ForkedVirtualDiskPath;
    } Version1;
  };
} FORK_VIRTUAL_DISK_PARAMETERS, *PFORK_VIRTUAL_DISK_PARAMETERS;

typedef enum _FORK_VIRTUAL_DISK_FLAG VIRTDISK_INT_ENUM {
  FORK_VIRTUAL_DISK_FLAG_NONE = 0x00000000,
  FORK_VIRTUAL_DISK_FLAG_EXISTING_FILE = 0x00000001,
} FORK_VIRTUAL_DISK_FLAG;
DEFINE_ENUM_FLAG_OPERATORS(FORK_VIRTUAL_DISK_FLAG)

/* Starts a second, independent copy of the disk at a path; CompleteForkVirtualDisk() makes it final. No
 * reference exists for these two: their meaning is inferred from the names (unverified).
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_PARAMETER (87): Parameters or Overlapped NULL; an unknown flag or Version
 *   ERROR_INVALID_HANDLE (6), ERROR_ACCESS_DENIED (5), ERROR_FILE_EXISTS (80), ERROR_FILE_NOT_FOUND (2)
 *   ERROR_IO_PENDING (997), ERROR_OPERATION_ABORTED (995)
 *
 * Source: 3.20. */
VIRTDISK_API DWORD WINAPI ForkVirtualDisk(_In_ HANDLE VirtualDiskHandle, _In_ FORK_VIRTUAL_DISK_FLAG Flags,
                                          _In_ const FORK_VIRTUAL_DISK_PARAMETERS* Parameters,
                                          _Inout_ LPOVERLAPPED Overlapped);

/* Ends a fork that ForkVirtualDisk() started.
 *
 *   Not built yet: returns ERROR_CALL_NOT_IMPLEMENTED (120).
 *   ERROR_INVALID_HANDLE (6); ERROR_VHD_INVALID_STATE: no fork is ready
 *
 * Source: 3.20. */
VIRTDISK_API DWORD WINAPI CompleteForkVirtualDisk(_In_ HANDLE VirtualDiskHandle);

#endif /* NTDDI_WIN10_RS5 */

/* ---- Extensions of this library ------------------------------------------------------------------------ */

/* The full explanation, in UTF-8, of the calling thread's last failed call: which file, which structure,
 * what was found and what was expected. "" if no call has failed. Never NULL; valid until the thread's next
 * call into the library. */
VIRTDISK_API const char* VirtdiskGetLastErrorText(void);

/* A handle to a file, folder or block device of this host, for GetStorageDependencyInformation(), which on
 * Windows takes handles of CreateFile(). The object is only named, not opened: that needs no right to it.
 *
 *   ERROR_INVALID_PARAMETER (87): Path or Handle NULL
 *   ERROR_FILE_NOT_FOUND (2), ERROR_PATH_NOT_FOUND (3), ERROR_ACCESS_DENIED (5), ERROR_INVALID_NAME (123) */
VIRTDISK_API DWORD VirtdiskHandleFromPath(_In_ PCWSTR Path, _Out_ PHANDLE Handle);

/* Selects by name which Windows' rules opening, creating and attaching judge arguments by, for the whole
 * process: "windows10" (the default), "page2018" (the reference page of that year to the letter: version 1
 * only, flags NO_PARENTS and BLANK_FILE only) or "windows7" (that, without ISO). Calls that run meanwhile
 * finish under the level they began with. The environment variable VIRTDISK_CONTRACT sets the level that
 * holds before the first call of this function.
 *
 *   ERROR_INVALID_PARAMETER (87): name NULL or unknown; the level stays as it is
 *
 * Source: 7. */
VIRTDISK_API DWORD VirtdiskSetContract(_In_ const char* name);

/* The name of the level in force: one of the three above, a constant. */
VIRTDISK_API const char* VirtdiskGetContract(void);

/* The library's version, "major.minor.patch", a constant. */
VIRTDISK_API const char* VirtdiskVersion(void);

#endif /* !VIRTDISK_DEFINE_FLAGS */

#pragma GCC diagnostic pop

/* ---- Names from before Windows 7 (3.0) ----------------------------------------------------------------- */

#define SurfaceVirtualDisk AttachVirtualDisk
#define UnsurfaceVirtualDisk DetachVirtualDisk
#define VIRTUAL_DISK_ACCESS_SURFACE_RO VIRTUAL_DISK_ACCESS_ATTACH_RO
#define VIRTUAL_DISK_ACCESS_SURFACE_RW VIRTUAL_DISK_ACCESS_ATTACH_RW
#define VIRTUAL_DISK_ACCESS_UNSURFACE VIRTUAL_DISK_ACCESS_DETACH
#define SURFACE_VIRTUAL_DISK_VERSION_UNSPECIFIED ATTACH_VIRTUAL_DISK_VERSION_UNSPECIFIED
#define SURFACE_VIRTUAL_DISK_VERSION_1 ATTACH_VIRTUAL_DISK_VERSION_1
#define SURFACE_VIRTUAL_DISK_VERSION ATTACH_VIRTUAL_DISK_VERSION
#define _SURFACE_VIRTUAL_DISK_VERSION _ATTACH_VIRTUAL_DISK_VERSION
#define SURFACE_VIRTUAL_DISK_PARAMETERS ATTACH_VIRTUAL_DISK_PARAMETERS
#define PSURFACE_VIRTUAL_DISK_PARAMETERS PATTACH_VIRTUAL_DISK_PARAMETERS
#define _SURFACE_VIRTUAL_DISK_PARAMETERS _ATTACH_VIRTUAL_DISK_PARAMETERS
#define _SURFACE_VIRTUAL_DISK_FLAG _ATTACH_VIRTUAL_DISK_FLAG
#define SURFACE_VIRTUAL_DISK_FLAG ATTACH_VIRTUAL_DISK_FLAG
#define SURFACE_VIRTUAL_DISK_FLAG_NONE ATTACH_VIRTUAL_DISK_FLAG_NONE
#define SURFACE_VIRTUAL_DISK_FLAG_READ_ONLY ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY
#define SURFACE_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER ATTACH_VIRTUAL_DISK_FLAG_NO_DRIVE_LETTER
#define SURFACE_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME
#define SURFACE_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST
#define SURFACE_VIRTUAL_DISK_FLAG_NO_SECURITY_DESCRIPTOR ATTACH_VIRTUAL_DISK_FLAG_NO_SECURITY_DESCRIPTOR
#define SURFACE_VIRTUAL_DISK_FLAG_BYPASS_DEFAULT_ENCRYPTION_POLICY \
  ATTACH_VIRTUAL_DISK_FLAG_BYPASS_DEFAULT_ENCRYPTION_POLICY
#define _UNSURFACE_VIRTUAL_DISK_FLAG _DETACH_VIRTUAL_DISK_FLAG
#define UNSURFACE_VIRTUAL_DISK_FLAG DETACH_VIRTUAL_DISK_FLAG
#define UNSURFACE_VIRTUAL_DISK_FLAG_NONE DETACH_VIRTUAL_DISK_FLAG_NONE

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* WINVER >= _WIN32_WINNT_WIN7 */

#endif /* VIRT_DISK_API_DEF */
