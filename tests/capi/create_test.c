// SPDX-License-Identifier: Apache-2.0
/* CreateVirtualDisk as a table: what virtdisk-api.md 3.2 refuses, at which contract level, and what it makes.
 * argv[1] is a folder that may be written to; without it a new one is made. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define UNKNOWN VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN
#define VHD VIRTUAL_STORAGE_TYPE_DEVICE_VHD
#define VHDX VIRTUAL_STORAGE_TYPE_DEVICE_VHDX
#define ISO VIRTUAL_STORAGE_TYPE_DEVICE_ISO
#define FULL CREATE_VIRTUAL_DISK_FLAG_FULL_PHYSICAL_ALLOCATION
#define MB (1024ULL * 1024)
#define NONE VIRTUAL_DISK_ACCESS_NONE

static int modern(void) { return strcmp(VirtdiskGetContract(), "windows10") == 0; }

static int exists(const wchar_t* path) {
  char narrow[4096];
  struct stat facts;
  snprintf(narrow, sizeof narrow, "%ls", path);
  return lstat(narrow, &facts) == 0;
}

static void remove_image(const wchar_t* path) {
  char narrow[4096];
  snprintf(narrow, sizeof narrow, "%ls", path);
  unlink(narrow);
}

static CREATE_VIRTUAL_DISK_PARAMETERS of_version(ULONG version, ULONGLONG size) {
  CREATE_VIRTUAL_DISK_PARAMETERS parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.Version = (CREATE_VIRTUAL_DISK_VERSION)version;
  if (version == 1) {
    parameters.Version1.MaximumSize = size;
  } else {
    parameters.Version2.MaximumSize = size;
  }
  return parameters;
}

static DWORD create_at(ULONG device, const wchar_t* path, ULONG mask, ULONG flags, ULONG provider_flags,
                       CREATE_VIRTUAL_DISK_PARAMETERS* parameters, HANDLE* handle) {
  VIRTUAL_STORAGE_TYPE type = storage_type(device);
  return CreateVirtualDisk(&type, path, (VIRTUAL_DISK_ACCESS_MASK)mask, NULL, (CREATE_VIRTUAL_DISK_FLAG)flags,
                           provider_flags, parameters, NULL, handle);
}

/* A failure leaves the handle and the folder alone; a success is closed and removed. */
static DWORD try_create(ULONG device, const char* name, ULONG mask, ULONG flags,
                        CREATE_VIRTUAL_DISK_PARAMETERS* parameters) {
  HANDLE handle = SENTINEL;
  const wchar_t* path = image(name);
  DWORD code = create_at(device, path, mask, flags, 0, parameters, &handle);
  if (code == ERROR_SUCCESS) {
    CHECK(handle != SENTINEL && handle != NULL && handle != INVALID_HANDLE_VALUE);
    CHECK(exists(path));
    CHECK(CloseHandle(handle) == TRUE);
    remove_image(path);
  } else {
    CHECK(handle == SENTINEL);
    CHECK(!exists(path));
  }
  return code;
}

static void null_pointers(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 4 * MB);
  HANDLE handle = SENTINEL;
  CHECK_CODE(CreateVirtualDisk(NULL, image("a.vhd"), VIRTUAL_DISK_ACCESS_NONE, NULL,
                               CREATE_VIRTUAL_DISK_FLAG_NONE, 0, &v1, NULL, &handle),
             87);
  CHECK_CODE(CreateVirtualDisk(&type, NULL, VIRTUAL_DISK_ACCESS_NONE, NULL, CREATE_VIRTUAL_DISK_FLAG_NONE, 0,
                               &v1, NULL, &handle),
             87);
  CHECK_CODE(CreateVirtualDisk(&type, image("a.vhd"), VIRTUAL_DISK_ACCESS_NONE, NULL,
                               CREATE_VIRTUAL_DISK_FLAG_NONE, 0, NULL, NULL, &handle),
             87);
  CHECK_CODE(CreateVirtualDisk(&type, image("a.vhd"), VIRTUAL_DISK_ACCESS_NONE, NULL,
                               CREATE_VIRTUAL_DISK_FLAG_NONE, 0, &v1, NULL, NULL),
             87);
  CHECK(handle == SENTINEL);
  CHECK(!exists(image("a.vhd")));
}

static void versions_masks_and_flags(void) {
  static const ULONG newest_of[] = {4, 2, 1};
  ULONG newest = newest_of[modern() ? 0 : strcmp(VirtdiskGetContract(), "page2018") == 0 ? 1 : 2];
  static const ULONG unknown[] = {0, 5, 99, 0xFFFFFFFF};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) {
    CREATE_VIRTUAL_DISK_PARAMETERS parameters = of_version(unknown[i], 4 * MB);
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &parameters), 87);
  }
  for (ULONG version = 1; version <= 4; ++version) {
    CREATE_VIRTUAL_DISK_PARAMETERS parameters = of_version(version, 4 * MB);
    DWORD known = version <= newest ? 0 : 87;
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &parameters), known);
    CHECK_CODE(try_create(VHDX, "a.vhdx", NONE, FULL, &parameters), known);
    CHECK_CODE(try_create(VHD, "a.vhd", VIRTUAL_DISK_ACCESS_ALL, 0, &parameters), version == 1 ? 0 : 87);
    CHECK_CODE(try_create(VHD, "a.vhd", 0x00400000, 0, &parameters), 87);
  }
  for (int bit = 1; bit < 32; ++bit) {
    CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 4 * MB);
    ULONG flag = (ULONG)1 << bit;
    DWORD wanted = 0;
    if (!modern() || flag > CREATE_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS) {
      wanted = 87;
    } else if (flag == CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT) {
      wanted = 87; /* there is no source */
    } else if (flag == CREATE_VIRTUAL_DISK_FLAG_PRESERVE_PARENT_CHANGE_TRACKING_STATE ||
               flag == CREATE_VIRTUAL_DISK_FLAG_VHD_SET_USE_ORIGINAL_BACKING_STORAGE ||
               flag == CREATE_VIRTUAL_DISK_FLAG_PMEM_COMPATIBLE) {
      wanted = ERROR_CALL_NOT_IMPLEMENTED;
    }
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, flag, &v1), wanted);
  }
  CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 4 * MB);
  HANDLE handle = SENTINEL;
  CHECK_CODE(create_at(VHD, image("a.vhd"), NONE, 0, 1, &v1, &handle), 87); /* provider flags */
  CHECK(handle == SENTINEL);
}

static void sizes_blocks_and_sectors(void) {
  static const struct {
    ULONG device;
    ULONG flags;
    ULONGLONG size;
    ULONG block, sector;
    DWORD wanted;
  } rows[] = {
      {VHD, 0, 0, 0, 0, 87},
      {VHD, 0, 3 * MB - 512, 0, 0, 87},
      {VHD, 0, 3 * MB, 0, 0, 0},
      {VHD, 0, 3 * MB + 1, 0, 0, 87},
      {VHD, FULL, 0x03010200, 0, 512, 0},
      {VHD, 0, 2040ULL * 1024 * MB, 0, 0, 0},
      {VHD, 0, 2040ULL * 1024 * MB + 512, 0, 0, 0xC03A0012},
      {VHD, 0, 4 * MB, 0x80000, 0, 0},
      {VHD, 0, 4 * MB, 0x200000, 0, 0},
      {VHD, 0, 4 * MB, 0x100000, 0, 87},
      {VHD, FULL, 4 * MB, 0x200000, 0, 87},
      {VHD, 0, 4 * MB, 0, 4096, 87},
      {VHDX, 0, 4 * MB, 0, 4096, 0},
      {VHDX, 0, 4 * MB + 512, 0, 4096, 87},
      {VHDX, 0, 4 * MB, 0x100000, 512, 0},
      {VHDX, 0, 4 * MB, 0x10000000, 0, 0},
      {VHDX, 0, 4 * MB, 0x20000000, 0, 87},
      {VHDX, 0, 4 * MB, 0x300000, 0, 87},
      {VHDX, FULL, 4 * MB, 0x200000, 0, 87},
      {VHDX, 0, 4 * MB, 0, 1024, 87},
      {VHDX, 0, 64ULL * 1024 * 1024 * MB, 0, 0, 0},
      {VHDX, 0, 64ULL * 1024 * 1024 * MB + 512, 0, 0, 0xC03A0012},
      {ISO, 0, 4 * MB, 0, 0, 50},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, rows[i].size);
    v1.Version1.BlockSizeInBytes = rows[i].block;
    v1.Version1.SectorSizeInBytes = rows[i].sector;
    CHECK_CODE(
        try_create(rows[i].device, rows[i].device == VHD ? "a.vhd" : "a.vhdx", NONE, rows[i].flags, &v1),
        rows[i].wanted);
  }
  if (modern()) {
    CREATE_VIRTUAL_DISK_PARAMETERS v2 = of_version(2, 4 * MB);
    v2.Version2.PhysicalSectorSizeInBytes = 512;
    CHECK_CODE(try_create(VHDX, "a.vhdx", NONE, 0, &v2), 0);
    v2.Version2.SectorSizeInBytes = 4096;
    CHECK_CODE(try_create(VHDX, "a.vhdx", NONE, 0, &v2), 87);
    v2 = of_version(2, 4 * MB);
    v2.Version2.PhysicalSectorSizeInBytes = 4096;
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &v2), 87);
    v2 = of_version(2, 4 * MB);
    v2.Version2.OpenFlags = (OPEN_VIRTUAL_DISK_FLAG)0x80000000;
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &v2), 87);
    CREATE_VIRTUAL_DISK_PARAMETERS v3 = of_version(3, 4 * MB);
    v3.Version3.SourceLimitPath = L"x";
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &v3), 87);
    CREATE_VIRTUAL_DISK_PARAMETERS v4 = of_version(4, 4 * MB);
    v4.Version4.DataAlignment = 2 * MB;
    CHECK_CODE(try_create(VHD, "a.vhd", NONE, 0, &v4), ERROR_CALL_NOT_IMPLEMENTED);
  }
}

static void parents_and_sources(void) {
  CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 8 * MB);
  HANDLE parent = NULL;
  CHECK_CODE(create_at(VHDX, image("parent.vhdx"), VIRTUAL_DISK_ACCESS_ALL, 0, 0, &v1, &parent), 0);
  v1 = of_version(1, 0);
  v1.Version1.ParentPath = image("parent.vhdx");
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v1), 0); /* while the parent is open */
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, FULL, &v1), 87);
  CHECK_CODE(try_create(VHD, "child.vhd", NONE, 0, &v1), 87);
  v1.Version1.SourcePath = image("parent.vhdx");
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v1), 87);
  v1 = of_version(1, 8 * MB);
  v1.Version1.ParentPath = image("parent.vhdx");
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v1), 87); /* version 1: size and parent */
  v1 = of_version(1, 0);
  v1.Version1.ParentPath = image("gone.vhdx");
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v1), 2);
  v1.Version1.ParentPath = L"";
  CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v1), ERROR_INVALID_NAME);
  if (modern()) {
    CREATE_VIRTUAL_DISK_PARAMETERS v2 = of_version(2, 16 * MB);
    v2.Version2.ParentPath = image("parent.vhdx");
    CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v2), 0);
    v2.Version2.MaximumSize = 4 * MB;
    CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v2), 87);
    v2.Version2.MaximumSize = 0;
    v2.Version2.ParentVirtualStorageType = storage_type(VHD);
    CHECK(try_create(VHDX, "child.vhdx", NONE, 0, &v2) != 0);
    v2.Version2.ParentVirtualStorageType = storage_type(VHDX);
    CHECK_CODE(try_create(VHDX, "child.vhdx", NONE, 0, &v2), 0);
  }
  CHECK(CloseHandle(parent) == TRUE);
  remove_image(image("parent.vhdx"));
}

/* The first bytes of the only block of a fixed or raw file. */
static int holds(const wchar_t* path, long at, const char* text) {
  char narrow[4096];
  char bytes[64] = {0};
  FILE* file;
  size_t got;
  snprintf(narrow, sizeof narrow, "%ls", path);
  file = fopen(narrow, "rb");
  if (file == NULL) return 0;
  got = fseek(file, at, SEEK_SET) == 0 ? fread(bytes, 1, strlen(text), file) : 0;
  fclose(file);
  return got == strlen(text) && memcmp(bytes, text, got) == 0;
}

static void copies(void) {
  CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 8 * MB);
  HANDLE handle = NULL;
  char narrow[4096];
  FILE* file;
  CHECK_CODE(create_at(VHD, image("source.vhd"), NONE, FULL, 0, &v1, &handle), 0);
  CHECK(CloseHandle(handle) == TRUE);
  snprintf(narrow, sizeof narrow, "%ls", image("source.vhd"));
  file = fopen(narrow, "r+b");
  CHECK(file != NULL);
  CHECK(fseek(file, 5 * (long)MB, SEEK_SET) == 0 && fputs("the source's bytes", file) >= 0 &&
        fclose(file) == 0);

  v1 = of_version(1, 0);
  v1.Version1.SourcePath = image("source.vhd");
  CHECK_CODE(try_create(VHDX, "copy.vhdx", NONE, 0, &v1), 0);
  CHECK_CODE(try_create(VHDX, "copy.vhdx", NONE, FULL, &v1), 0);
  CHECK_CODE(create_at(VHDX, image("copy.vhdx"), NONE, 0, 0, &v1, &handle), 0);
  CHECK(CloseHandle(handle) == TRUE);
  v1.Version1.SourcePath = image("copy.vhdx");
  CHECK_CODE(create_at(VHD, image("back.vhd"), NONE, FULL, 0, &v1, &handle), 0);
  CHECK(CloseHandle(handle) == TRUE);
  CHECK(holds(image("back.vhd"), 5 * (long)MB, "the source's bytes"));
  remove_image(image("back.vhd"));
  v1.Version1.MaximumSize = 4 * MB; /* less than the source has */
  CHECK_CODE(try_create(VHD, "back.vhd", NONE, 0, &v1), 87);
  v1.Version1.MaximumSize = 16 * MB;
  CHECK_CODE(try_create(VHD, "back.vhd", NONE, 0, &v1), 0);
  v1 = of_version(1, 0);
  v1.Version1.SourcePath = image("gone.vhd");
  CHECK_CODE(try_create(VHD, "back.vhd", NONE, 0, &v1), 2);
  v1.Version1.SourcePath = L"";
  CHECK_CODE(try_create(VHD, "back.vhd", NONE, 0, &v1), ERROR_INVALID_NAME);
  if (modern()) {
    CREATE_VIRTUAL_DISK_PARAMETERS v3 = of_version(3, 0);
    v3.Version3.SourcePath = image("copy.vhdx");
    CHECK_CODE(try_create(VHD, "back.vhd", NONE, 0, &v3), 0);
    v3.Version3.SourceVirtualStorageType = storage_type(VHD); /* which it is not */
    CHECK(try_create(VHD, "back.vhd", NONE, 0, &v3) != 0);
    v3.Version3.SourceVirtualStorageType = storage_type(VHDX);
    v3.Version3.SourceLimitPath = L"rctX:0:0"; /* nothing tracks the changes of an image that we made */
    CHECK_CODE(try_create(VHDX, "back.vhdx", NONE, CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT, &v3),
               0xC03A002A);
    v3.Version3.SourceLimitPath = NULL;
    CHECK_CODE(try_create(VHDX, "back.vhdx", NONE, CREATE_VIRTUAL_DISK_FLAG_USE_CHANGE_TRACKING_SOURCE_LIMIT, &v3), 87);
  }
  remove_image(image("copy.vhdx"));
  remove_image(image("source.vhd"));
}

static GUID identifier_of(HANDLE handle, int parents) {
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  memset(&info, 0, sizeof info);
  info.Version = parents ? GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER : GET_VIRTUAL_DISK_INFO_IDENTIFIER;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
  return parents ? info.ParentIdentifier : info.Identifier;
}

/* SourceLimitPath: what lies above a member of the source's chain, as a child of that member. */
static void limited_copies(void) {
  static const char* const names[] = {"base.vhdx", "middle.vhdx", "leaf.vhdx"};
  GUID identifiers[3];
  HANDLE handle = NULL;
  int i;
  if (!modern()) return;
  for (i = 0; i < 3; ++i) {
    CREATE_VIRTUAL_DISK_PARAMETERS v2 = of_version(2, i == 0 ? 8 * MB : 0);
    wchar_t parent[4096];
    if (i > 0) wcscpy(parent, image(names[i - 1]));
    v2.Version2.ParentPath = i > 0 ? parent : NULL;
    CHECK_CODE(create_at(VHDX, image(names[i]), NONE, 0, 0, &v2, &handle), 0);
    identifiers[i] = identifier_of(handle, 0);
    CHECK(CloseHandle(handle) == TRUE);
  }
  {
    CREATE_VIRTUAL_DISK_PARAMETERS v3 = of_version(3, 0);
    wchar_t source[4096], limit[4096];
    wcscpy(source, image("leaf.vhdx"));
    v3.Version3.SourcePath = source;
    v3.Version3.SourceLimitPath = limit;
    for (i = 0; i < 3; ++i) {
      GUID parent;
      wcscpy(limit, image(names[i]));
      CHECK_CODE(create_at(VHDX, image("newer.vhdx"), NONE, 0, 0, &v3, &handle), 0);
      parent = identifier_of(handle, 1);
      CHECK(memcmp(&parent, &identifiers[i], sizeof parent) == 0);
      CHECK(CloseHandle(handle) == TRUE);
      remove_image(image("newer.vhdx"));
    }
    CHECK_CODE(try_create(VHDX, "newer.vhdx", NONE, FULL, &v3), 87);
    CHECK_CODE(try_create(VHD, "newer.vhd", NONE, 0, &v3), 87); /* of another format than the member */
    wcscpy(limit, image("gone.vhdx"));
    CHECK_CODE(try_create(VHDX, "newer.vhdx", NONE, 0, &v3), 2);
    wcscpy(limit, L"");
    CHECK_CODE(try_create(VHDX, "newer.vhdx", NONE, 0, &v3), ERROR_INVALID_NAME);
    wcscpy(source, image("middle.vhdx"));
    wcscpy(limit, image("leaf.vhdx")); /* a child of the source, no member of its chain */
    CHECK_CODE(try_create(VHDX, "newer.vhdx", NONE, 0, &v3), 87);
  }
  for (i = 0; i < 3; ++i) remove_image(image(names[i]));
}

static void paths(void) {
  CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 4 * MB);
  HANDLE handle = NULL;
  HANDLE second = SENTINEL;
  CHECK_CODE(create_at(VHD, image("a.vhd"), NONE, 0, 0, &v1, &handle), 0);
  CHECK(CloseHandle(handle) == TRUE);
  CHECK_CODE(create_at(VHD, image("a.vhd"), NONE, 0, 0, &v1, &second), ERROR_FILE_EXISTS);
  CHECK(second == SENTINEL);
  CHECK_CODE(try_open(VHD, image("a.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO, 0, NULL), 0); /* untouched */
  remove_image(image("a.vhd"));
  CHECK_CODE(try_create(VHD, "absent/a.vhd", NONE, 0, &v1), 3);
  CHECK_CODE(create_at(VHD, L"", NONE, 0, 0, &v1, &second), ERROR_INVALID_NAME);
  CHECK_CODE(try_create(UNKNOWN, "a.bin", NONE, 0, &v1), 0xC03A0014);
  CHECK_CODE(try_create(77, "a.vhd", NONE, 0, &v1), 0xC03A0014);
  CHECK_CODE(try_create(UNKNOWN, "a.AVHDX", NONE, 0, &v1), 0); /* the extension decides */
}

static void what_is_made(void) {
  static const GUID id = {0x11223344, 0x5566, 0x7788, {0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x01}};
  for (int vhdx = 0; vhdx < 2; ++vhdx) {
    CREATE_VIRTUAL_DISK_PARAMETERS v1 = of_version(1, 0x03010400);
    const wchar_t* path = image(vhdx ? "a.vhdx" : "a.vhd");
    VIRTUAL_STORAGE_TYPE type = storage_type(vhdx ? VHDX : VHD);
    HANDLE handle = NULL;
    GET_VIRTUAL_DISK_INFO info;
    ULONG size = sizeof info;
    OVERLAPPED overlapped;
    memset(&overlapped, 0xA5, sizeof overlapped);
    overlapped.hEvent = NULL;
    v1.Version1.UniqueId = id;
    CHECK_CODE(CreateVirtualDisk(&type, path, VIRTUAL_DISK_ACCESS_GET_INFO, NULL,
                                 CREATE_VIRTUAL_DISK_FLAG_NONE, 0, &v1, &overlapped, &handle),
               0);
    CHECK(HasOverlappedIoCompleted(&overlapped));
    CHECK(overlapped.Internal == 0 && overlapped.InternalHigh == 0);
    info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
    CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
    CHECK(info.Size.VirtualSize == 0x03010400); /* exact */
    CHECK(info.Size.BlockSize == (vhdx ? 32 : 2) * MB);
    info.Version = GET_VIRTUAL_DISK_INFO_IDENTIFIER;
    CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
    CHECK(memcmp(&info.Identifier, &id, sizeof id) == 0);
    info.Version = GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE;
    CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
    CHECK(info.ProviderSubtype == 3);
    CHECK(CloseHandle(handle) == TRUE);

    /* The rights are those of the version: an empty mask of version 1 has none. */
    remove_image(path);
    CHECK_CODE(create_at(vhdx ? VHDX : VHD, path, NONE, 0, 0, &v1, &handle), 0);
    CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), ERROR_ACCESS_DENIED);
    CHECK(CloseHandle(handle) == TRUE);
    remove_image(path);
    if (modern()) {
      CREATE_VIRTUAL_DISK_PARAMETERS v2 = of_version(2, 4 * MB);
      CHECK_CODE(create_at(vhdx ? VHDX : VHD, path, NONE, 0, 0, &v2, &handle), 0);
      CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
      CHECK_CODE(try_open(vhdx ? VHDX : VHD, path, VIRTUAL_DISK_ACCESS_GET_INFO, 0, NULL), 32);
      CHECK(CloseHandle(handle) == TRUE);
      remove_image(path);
    }
  }
}

int main(int argc, char** argv) {
  static const char* const levels[] = {"windows10", "page2018", "windows7"};
  static char own[] = "/tmp/vdisk_capi_create_XXXXXX";
  image_folder = argc > 1 ? argv[1] : mkdtemp(own);
  CHECK(image_folder != NULL);
  for (size_t i = 0; i < 3; ++i) {
    CHECK_CODE(VirtdiskSetContract(levels[i]), 0);
    null_pointers();
    versions_masks_and_flags();
    sizes_blocks_and_sectors();
    parents_and_sources();
    copies();
  limited_copies();
    paths();
    what_is_made();
  }
  if (argc <= 1) CHECK(rmdir(own) == 0); /* and nothing is left in it */
  return checks_done();
}
