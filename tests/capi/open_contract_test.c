// SPDX-License-Identifier: Apache-2.0
/* The OpenVirtualDisk page as a table: rows T1-T25 of virtdisk-api.md 7, at each contract level, and what
 * lies beside them. argv[1] is the folder that make_images filled. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* seteuid */
#endif
#include <unistd.h>

#include "check.h"

#define UNKNOWN VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN
#define VHD VIRTUAL_STORAGE_TYPE_DEVICE_VHD
#define VHDX VIRTUAL_STORAGE_TYPE_DEVICE_VHDX
#define ISO VIRTUAL_STORAGE_TYPE_DEVICE_ISO
#define GET_INFO VIRTUAL_DISK_ACCESS_GET_INFO
#define READ VIRTUAL_DISK_ACCESS_READ
#define NONE VIRTUAL_DISK_ACCESS_NONE
#define NO_PARENTS OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS
#define BLANK_FILE OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE

static int modern(void) { return strcmp(VirtdiskGetContract(), "windows10") == 0; }

static void t1_opens_vhd(void) {
  CHECK_CODE(try_open(VHD, image("fixed.vhd"), GET_INFO, 0, NULL), 0);
  CHECK_CODE(try_open(VHD, image("dynamic.vhd"), GET_INFO, 0, NULL), 0);
  CHECK_CODE(try_open(VHD, image("child.vhd"), GET_INFO, 0, NULL), 0);
  CHECK_CODE(try_open(UNKNOWN, image("fixed.vhd"), GET_INFO, 0, NULL), 0);
  CHECK_CODE(try_open(VHDX, image("dynamic.vhdx"), GET_INFO, 0, NULL), 0);
  CHECK_CODE(try_open(VHDX, image("child.vhdx"), GET_INFO, 0, NULL), 0);
}

static void t2_opens_iso(void) {
  OPEN_VIRTUAL_DISK_PARAMETERS v1 = parameters_of(1, 0);
  CHECK_CODE(try_open(ISO, image("disc.iso"), READ, 0, &v1), 0);
  CHECK_CODE(try_open(ISO, image("udf.iso"), READ, 0, NULL), 0);
  CHECK_CODE(try_open(UNKNOWN, image("disc.iso"), READ, 0, NULL), 0);
}

static void t3_t23_handle_works_until_closed(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE handle = NULL;
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
             0);
  info.Version = GET_VIRTUAL_DISK_INFO_SIZE;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
  CHECK(info.Size.VirtualSize == 4 * 1024 * 1024);
  CHECK(CloseHandle(handle) == TRUE);
  SetLastError(0);
  CHECK(CloseHandle(handle) == FALSE);
  CHECK_CODE(GetLastError(), ERROR_INVALID_HANDLE);
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), ERROR_INVALID_HANDLE);
  CHECK(CloseHandle(NULL) == FALSE); /* harmless (1.12) */
}

static void t5_t6_t24b_null_pointers(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE handle = SENTINEL;
  CHECK_CODE(OpenVirtualDisk(NULL, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
             87);
  CHECK_CODE(
      OpenVirtualDisk(&type, NULL, VIRTUAL_DISK_ACCESS_GET_INFO, OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
      87);
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, NULL),
             87);
  CHECK_CODE(
      OpenVirtualDisk(NULL, NULL, VIRTUAL_DISK_ACCESS_NONE, OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS, NULL, &handle),
      87); /* Wine O1 */
  CHECK(handle == SENTINEL);
}

static void t7_mask_outside_all(void) {
  static const ULONG samples[] = {0x1, 0x8000, 0x400000, 0xffffff};
  for (size_t i = 0; i < sizeof samples / sizeof *samples; ++i) {
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), samples[i], 0, NULL), 87);
  }
  for (int bit = 0; bit < 32; ++bit) {
    ULONG mask = (ULONG)1 << bit;
    if ((mask & VIRTUAL_DISK_ACCESS_ALL) != 0) continue;
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), mask, 0, NULL), 87);
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), mask | GET_INFO, 0, NULL), 87);
  }
}

static void t8_every_subset_of_the_rights(void) {
  for (ULONG subset = 0; subset < 64; ++subset) {
    ULONG mask = subset << 16;
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), mask, 0, NULL), 0);
    CHECK_CODE(try_open(VHDX, image("dynamic.vhdx"), mask, 0, NULL), 0);
    for (ULONG version = 2; version <= 3; ++version) {
      OPEN_VIRTUAL_DISK_PARAMETERS later = parameters_of(version, 0);
      CHECK_CODE(try_open(VHD, image("fixed.vhd"), mask, 0, &later), modern() && mask == 0 ? 0 : 87);
    }
  }
}

static void t9_every_flag_bit(void) {
  for (int bit = 0; bit < 32; ++bit) {
    ULONG flag = (ULONG)1 << bit;
    OPEN_VIRTUAL_DISK_PARAMETERS v1 = parameters_of(1, 0);
    DWORD wanted = (flag & ~(ULONG)(NO_PARENTS | BLANK_FILE)) != 0 ? 87 : 0;
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), GET_INFO, flag, &v1), wanted);
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), GET_INFO, flag, NULL), wanted);
    for (ULONG version = 2; version <= 3; ++version) {
      OPEN_VIRTUAL_DISK_PARAMETERS later = parameters_of(version, 0);
      int known =
          flag <= OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES && flag != OPEN_VIRTUAL_DISK_FLAG_BOOT_DRIVE;
      CHECK_CODE(try_open(VHD, image("fixed.vhd"), NONE, flag, &later), modern() && known ? 0 : 87);
    }
  }
}

static void t10_no_parents(void) {
  CHECK_CODE(try_open(VHD, image("orphan.vhd"), GET_INFO, 0, NULL), 0xC03A000D);
  CHECK(strstr(VirtdiskGetLastErrorText(), "gone.vhd") != NULL);
  CHECK_CODE(try_open(VHD, image("orphan.vhd"), GET_INFO, NO_PARENTS, NULL), 0);
  CHECK_CODE(try_open(VHDX, image("orphan.vhdx"), GET_INFO, 0, NULL), 0xC03A000D);
  CHECK_CODE(try_open(VHDX, image("orphan.vhdx"), GET_INFO, NO_PARENTS, NULL), 0);
}

static void t11_blank_file(void) {
  CHECK_CODE(try_open(VHD, image("blank.vhd"), GET_INFO, BLANK_FILE, NULL), 0);
  CHECK_CODE(try_open(UNKNOWN, image("blank.vhd"), VIRTUAL_DISK_ACCESS_ALL, BLANK_FILE, NULL), 0);
  CHECK(try_open(VHD, image("blank.vhd"), GET_INFO, 0, NULL) != 0);
  CHECK_CODE(try_open(UNKNOWN, image("blank.bin"), GET_INFO, BLANK_FILE, NULL), 0xC03A0014);

  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE handle = NULL;
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  CHECK_CODE(OpenVirtualDisk(&type, image("blank.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE, NULL, &handle),
             0);
  info.Version = GET_VIRTUAL_DISK_INFO_IDENTIFIER;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0xC03A001C);
  CHECK(CloseHandle(handle) == TRUE);
}

static void t12_t13_versions(void) {
  static const ULONG unknown[] = {0, 4, 99, 0xFFFFFFFF};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) {
    OPEN_VIRTUAL_DISK_PARAMETERS parameters = parameters_of(unknown[i], 0);
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), NONE, 0, &parameters), 87);
  }
  for (ULONG version = 2; version <= 3; ++version) {
    OPEN_VIRTUAL_DISK_PARAMETERS parameters = parameters_of(version, 0);
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), NONE, 0, &parameters), modern() ? 0 : 87);
  }
}

static void t14_null_parameters(void) { CHECK_CODE(try_open(VHD, image("fixed.vhd"), GET_INFO, 0, NULL), 0); }

static void t18_to_t20_iso_rules(void) {
  static const char* const corrupt[] = {"plus1.iso", "minus1.iso", "34815.iso", "32768.iso",
                                        "zeros.iso", "random.iso", "cd002.iso"};
  for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; ++i) {
    CHECK_CODE(try_open(ISO, image(corrupt[i]), READ, 0, NULL), ERROR_FILE_CORRUPT);
    CHECK_CODE(try_open(UNKNOWN, image(corrupt[i]), READ, 0, NULL), ERROR_FILE_CORRUPT);
  }
  CHECK_CODE(try_open(ISO, image("34816.iso"), READ, 0, NULL), 0);
  CHECK_CODE(try_open(ISO, image("4gib.iso"), READ, 0, NULL), 0);
}

static void t21_t22_permanently_attached(void) {
  /* make_images published records for these two and holds their locks. */
  CHECK_CODE(try_open(VHD, image("attached_rw.vhd"), GET_INFO, 0, NULL), 32);
  CHECK_CODE(try_open(VHD, image("attached_rw.vhd"), GET_INFO | VIRTUAL_DISK_ACCESS_DETACH, 0, NULL), 0);
  CHECK_CODE(try_open(VHD, image("attached_ro.vhd"), VIRTUAL_DISK_ACCESS_DETACH | VIRTUAL_DISK_ACCESS_METAOPS,
                      0, NULL),
             32);
  CHECK_CODE(try_open(VHD, image("attached_ro.vhd"),
                      VIRTUAL_DISK_ACCESS_DETACH | VIRTUAL_DISK_ACCESS_ATTACH_RW, 0, NULL),
             32);
  CHECK_CODE(try_open(VHD, image("attached_ro.vhd"), VIRTUAL_DISK_ACCESS_DETACH, 0, NULL), 0);
  if (modern()) {
    OPEN_VIRTUAL_DISK_PARAMETERS v2 = parameters_of(2, 0);
    CHECK_CODE(try_open(VHD, image("attached_rw.vhd"), NONE, 0, &v2), 0);
    v2.Version2.ReadOnly = TRUE;
    CHECK_CODE(try_open(VHD, image("attached_ro.vhd"), NONE, 0, &v2), 0);
  }
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE handle = NULL;
  GET_VIRTUAL_DISK_INFO info;
  ULONG size = sizeof info;
  CHECK_CODE(
      OpenVirtualDisk(&type, image("attached_rw.vhd"),
                      (VIRTUAL_DISK_ACCESS_MASK)(VIRTUAL_DISK_ACCESS_GET_INFO | VIRTUAL_DISK_ACCESS_DETACH),
                      OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
      0);
  info.Version = GET_VIRTUAL_DISK_INFO_IS_LOADED;
  CHECK_CODE(GetVirtualDiskInformation(handle, &size, &info, NULL), 0);
  CHECK(info.IsLoaded == TRUE);
  CHECK(CloseHandle(handle) == TRUE);
}

static void t24_iso_and_the_windows7_contract(void) {
  int windows7 = strcmp(VirtdiskGetContract(), "windows7") == 0;
  CHECK_CODE(try_open(ISO, image("disc.iso"), READ, 0, NULL), windows7 ? 0xC03A0014 : 0);
  CHECK_CODE(try_open(UNKNOWN, image("disc.iso"), READ, 0, NULL), windows7 ? 0xC03A0014 : 0);
}

static void t24c_garbage_members(void) {
  OPEN_VIRTUAL_DISK_PARAMETERS v1 = parameters_of(1, 0xA5);
  CHECK_CODE(try_open(VHD, image("fixed.vhd"), GET_INFO, 0, &v1), 0);
  for (ULONG version = 2; version <= 3; ++version) {
    OPEN_VIRTUAL_DISK_PARAMETERS later = parameters_of(version, 0xA5);
    CHECK_CODE(try_open(VHD, image("fixed.vhd"), NONE, 0, &later), modern() ? 0 : 87);
  }
}

static void t25_order_and_wine_tests(void) {
  OPEN_VIRTUAL_DISK_PARAMETERS v1 = parameters_of(1, 0xA5);
  OPEN_VIRTUAL_DISK_PARAMETERS v2 = parameters_of(2, 0xA5);
  OPEN_VIRTUAL_DISK_PARAMETERS v3 = parameters_of(3, 0xA5);
  const wchar_t* absent = image("absent.vhd");
  CHECK_CODE(try_open(UNKNOWN, absent, 0xffffff, 0, &v1), 87);                     /* Wine O5 */
  CHECK_CODE(try_open(UNKNOWN, absent, NONE, 0, &v1), 2);                          /* Wine O6 */
  CHECK_CODE(try_open(UNKNOWN, absent, NONE, NO_PARENTS, &v2), modern() ? 2 : 87); /* Wine O4 */
  CHECK_CODE(try_open(UNKNOWN, absent, NONE, NO_PARENTS, &v3), modern() ? 2 : 87); /* Wine O3 */
  CHECK_CODE(try_open(VHD, absent, GET_INFO, 0x80000000, NULL), 87);
  CHECK_CODE(try_open(VHD, absent, GET_INFO, 0, NULL), 2);
  CHECK_CODE(try_open(VHD, image("absent/disk.vhd"), GET_INFO, 0, NULL), 3);
  CHECK_CODE(try_open(VHD, image("fixed.vhd/disk.vhd"), GET_INFO, 0, NULL), 3);
}

static void neighbours(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE handle = SENTINEL;
  type.DeviceId = 77;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
             0xC03A0014);
  type = storage_type(VHD);
  type.VendorId.Data1 ^= 1;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_GET_INFO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &handle),
             0xC03A0014);
  CHECK_CODE(try_open(UNKNOWN, image("text.txt"), GET_INFO, 0, NULL), 0xC03A0014);
  CHECK_CODE(try_open(VHD, L"", GET_INFO, 0, NULL), ERROR_INVALID_NAME);
  CHECK_CODE(try_open(VHD, image("."), GET_INFO, 0, NULL), 5);
  CHECK_CODE(try_open(VHD, L"/dev/null", GET_INFO, 0, NULL), 5);
  CHECK_CODE(try_open(VHD, image("fifo.vhd"), GET_INFO, 0, NULL), 5);  /* and must not hang */
  CHECK(try_open(VHD, image("dynamic.vhdx"), GET_INFO, 0, NULL) != 0); /* type contradicts content */
  CHECK(try_open(VHDX, image("fixed.vhd"), GET_INFO, 0, NULL) != 0);

  int iso_known = strcmp(VirtdiskGetContract(), "windows7") != 0;
  CHECK_CODE(try_open(ISO, image("disc.iso"), READ, NO_PARENTS, NULL), iso_known ? 87 : 0xC03A0014);
  CHECK_CODE(try_open(ISO, image("disc.iso"), READ, BLANK_FILE, NULL), iso_known ? 87 : 0xC03A0014);
  CHECK_CODE(try_open(UNKNOWN, image("disc.iso"), READ, BLANK_FILE, NULL), iso_known ? 87 : 0xC03A0014);
  CHECK_CODE(try_open(ISO, image("disc.iso"), VIRTUAL_DISK_ACCESS_ATTACH_RW, 0, NULL),
             iso_known ? 5 : 0xC03A0014);
  if (modern()) {
    OPEN_VIRTUAL_DISK_PARAMETERS v2 = parameters_of(2, 0);
    CHECK_CODE(try_open(ISO, image("disc.iso"), NONE, 0, &v2), ERROR_NOT_SUPPORTED);
  }
}

static void sharing(void) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VHD);
  HANDLE writer = NULL;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_ALL, OPEN_VIRTUAL_DISK_FLAG_NONE,
                             NULL, &writer),
             0);
  CHECK_CODE(try_open(VHD, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_ATTACH_RW, 0, NULL),
             ERROR_SHARING_VIOLATION);
  CHECK(CloseHandle(writer) == TRUE);
  HANDLE reader = NULL;
  CHECK_CODE(OpenVirtualDisk(&type, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_ATTACH_RO,
                             OPEN_VIRTUAL_DISK_FLAG_NONE, NULL, &reader),
             0);
  CHECK_CODE(try_open(VHD, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_ATTACH_RO, 0, NULL), 0);
  CHECK_CODE(try_open(VHD, image("fixed.vhd"), VIRTUAL_DISK_ACCESS_METAOPS, 0, NULL),
             ERROR_SHARING_VIOLATION);
  CHECK(CloseHandle(reader) == TRUE);
}

/* As another user: root may read everything. */
static void no_permission(void) {
  const char* registry = getenv("VDISK_RUNTIME_DIR");
  if (geteuid() != 0) {
    printf("skipped: no_permission needs root to become somebody else\n");
    return;
  }
  unsetenv("VDISK_RUNTIME_DIR"); /* the registry of make_images is root's own */
  CHECK(seteuid(65534) == 0);
  CHECK_CODE(try_open(VHD, image("secret.vhd"), GET_INFO, 0, NULL), ERROR_ACCESS_DENIED);
  CHECK_CODE(try_open(VHD, image("readonly.vhd"), VIRTUAL_DISK_ACCESS_METAOPS, 0, NULL), ERROR_ACCESS_DENIED);
  CHECK_CODE(try_open(VHD, image("readonly.vhd"), GET_INFO, 0, NULL), 0);
  CHECK(seteuid(0) == 0);
  if (registry != NULL) setenv("VDISK_RUNTIME_DIR", registry, 1);
}

int main(int argc, char** argv) {
  static const char* const levels[] = {"windows10", "page2018", "windows7"};
  const char* from_environment = getenv("VIRTDISK_CONTRACT");
  if (argc > 1) image_folder = argv[1];
  /* Before the first VirtdiskSetContract the environment decides, and without it windows10 holds. */
  CHECK(strcmp(VirtdiskGetContract(), from_environment != NULL ? from_environment : "windows10") == 0);
  CHECK_CODE(VirtdiskSetContract("windows95"), 87);
  CHECK_CODE(VirtdiskSetContract(NULL), 87);
  for (size_t i = 0; i < 3; ++i) {
    CHECK_CODE(VirtdiskSetContract(levels[i]), 0);
    CHECK(strcmp(VirtdiskGetContract(), levels[i]) == 0);
    t1_opens_vhd();
    if (strcmp(levels[i], "windows7") != 0) {
      t2_opens_iso();
      t18_to_t20_iso_rules();
    }
    t3_t23_handle_works_until_closed();
    t5_t6_t24b_null_pointers();
    t7_mask_outside_all();
    t8_every_subset_of_the_rights();
    t9_every_flag_bit();
    t10_no_parents();
    t11_blank_file();
    t12_t13_versions();
    t14_null_parameters();
    t21_t22_permanently_attached();
    t24_iso_and_the_windows7_contract();
    t24c_garbage_members();
    t25_order_and_wine_tests();
    neighbours();
    sharing();
    no_permission();
  }
  return checks_done();
}
