// SPDX-License-Identifier: Apache-2.0
/* AttachVirtualDisk, DetachVirtualDisk and the calls about attached disks as tables (virtdisk-api.md 2, 3.3
 * to 3.7), over attachments without devices. argv[1] is the folder that make_images filled. */
#include <unistd.h>

#include "calls.h"
#include "check.h"
#include "fake_attachments.h"

static DWORD device_of(HANDLE handle, wchar_t* path, ULONG size) {
  return GetVirtualDiskPhysicalPath(handle, &size, path);
}

/* ---- Rights (2) ---------------------------------------------------------------------------------------- */

static void check_rights(struct way way, int may_attach_ro, int may_attach_rw, int may_detach, int may_ask) {
  for (int read_only = 0; read_only < 2; ++read_only) {
    HANDLE handle = opened("fixed.vhd", way);
    int may = read_only ? may_attach_ro : may_attach_rw;
    wchar_t path[64];
    CHECK_CODE(attach(handle, read_only ? READ_ONLY : 0), may ? 0 : 5);
    CHECK(fake_count() == may);
    CHECK_CODE(device_of(handle, path, sizeof path), !may_ask ? 5 : may ? 0 : 55);
    CHECK_CODE(detach(handle), !may_detach ? 5 : may ? 0 : 1168);
    CHECK(fake_count() == (may && !may_detach));
    close_handle(handle);
    CHECK(fake_count() == 0);
  }
}

static void rights(void) {
  for (ULONG subset = 0; subset < 64; ++subset) {
    ULONG mask = subset << 16;
    int ro = (mask & (ATTACH_RO | ATTACH_RW)) != 0, rw = (mask & ATTACH_RW) != 0;
    check_rights((struct way)V1(mask), ro, rw, (mask & DETACH) != 0, (mask & GET_INFO) != 0);
    /* RWDepth 0 opens the file for reading only. */
    check_rights((struct way){1, mask, 0, FALSE, FALSE}, ro, 0, (mask & DETACH) != 0, (mask & GET_INFO) != 0);
  }
  for (ULONG version = 2; version <= 3; ++version) {
    check_rights((struct way){version, 0, 0, FALSE, FALSE}, 1, 1, 1, 1);
    check_rights((struct way){version, 0, 0, FALSE, TRUE}, 1, 0, 1, 1);
    check_rights((struct way){version, 0, 0, TRUE, FALSE}, 0, 0, 0, 1);
  }
}

/* ---- Arguments (3.3, 3.4) ------------------------------------------------------------------------------ */

static DWORD attach_with(HANDLE handle, ULONG flags, ULONG version, ULONGLONG at, ULONGLONG length) {
  ATTACH_VIRTUAL_DISK_PARAMETERS parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.Version = (ATTACH_VIRTUAL_DISK_VERSION)version;
  if (version == 2) {
    parameters.Version2.RestrictedOffset = at;
    parameters.Version2.RestrictedLength = length;
  }
  return AttachVirtualDisk(handle, NULL, (ATTACH_VIRTUAL_DISK_FLAG)flags, 0, &parameters, NULL);
}

static DWORD attach_and_detach(HANDLE handle, ULONG flags, ULONG version) {
  DWORD code = version == 0 ? attach(handle, flags) : attach_with(handle, flags, version, 0, 0);
  if (code == 0) CHECK_CODE(detach(handle), 0);
  CHECK(fake_count() == 0);
  return code;
}

static void attach_arguments(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  /* Versions. */
  CHECK_CODE(attach_and_detach(handle, 0, 0), 0); /* NULL */
  CHECK_CODE(attach_and_detach(handle, 0, 1), 0);
  CHECK_CODE(attach_and_detach(handle, 0, 2), 0); /* zero-filled, without RESTRICTED_RANGE */
  CHECK_CODE(attach_and_detach(handle, 0, 3), 87);
  CHECK_CODE(attach_with(handle, 0, 0, 0, 0), 87);
  /* Every flag bit. */
  for (int bit = 0; bit < 32; ++bit) {
    ULONG flag = (ULONG)1 << bit;
    int needs_more = flag == ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE ||
                     flag == ATTACH_VIRTUAL_DISK_FLAG_REGISTER_VOLUME ||
                     flag == ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT ||
                     flag == ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION; /* the disk has none */
    CHECK_CODE(attach_and_detach(handle, flag, 0), bit <= 10 && !needs_more ? 0 : 87);
  }
  CHECK_CODE(attach_and_detach(
                 handle, ATTACH_VIRTUAL_DISK_FLAG_REGISTER_VOLUME | ATTACH_VIRTUAL_DISK_FLAG_NON_PNP, 0),
             0);
  CHECK(fake_last_options().partitions);
  CHECK_CODE(attach_and_detach(handle, ATTACH_VIRTUAL_DISK_FLAG_NON_PNP, 0), 0);
  CHECK(!fake_last_options().partitions);
  CHECK_CODE(attach_and_detach(handle, ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT | PERMANENT, 0), 0);
  CHECK(fake_last_options().at_boot && fake_last_options().permanent && !fake_last_options().read_only);
  CHECK_CODE(attach_and_detach(handle, RAW | PERMANENT, 0), 50);
  CHECK_CODE(AttachVirtualDisk(handle, NULL, ATTACH_VIRTUAL_DISK_FLAG_NONE, 1, NULL, NULL), 87);
  CHECK_CODE(DetachVirtualDisk(handle, (DETACH_VIRTUAL_DISK_FLAG)1, 0), 87);
  CHECK_CODE(DetachVirtualDisk(handle, DETACH_VIRTUAL_DISK_FLAG_NONE, 1), 87);
  close_handle(handle);
  /* Not a virtual disk's handle. */
  CHECK_CODE(attach(handle, 0), 87);
  CHECK_CODE(attach(NULL, 0), 87);
  CHECK_CODE(detach(handle), 87);
  CHECK_CODE(detach(INVALID_HANDLE_VALUE), 87);
}

static void restricted_range(void) {
  static const struct {
    ULONGLONG at, length;
    DWORD code;
  } rows[] = {{0, 4 << 20, 0},   {512, 1024, 0},        {(4 << 20) - 512, 512, 0}, {0, 0, 87},
              {1, 512, 87},      {0, 511, 87},          {4 << 20, 512, 87},        {512, 4 << 20, 87},
              {~0ULL, 1024, 87}, {~0ULL - 511, 512, 87}};
  HANDLE handle = opened("fixed.vhd", v2);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    ULONG flag = ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE;
    DWORD code = attach_with(handle, flag, 2, rows[i].at, rows[i].length);
    CHECK_CODE(code, rows[i].code);
    if (code != 0) continue;
    CHECK(fake_last_options().has_range && fake_last_options().range_at == rows[i].at &&
          fake_last_options().range_length == rows[i].length);
    CHECK_CODE(detach(handle), 0);
  }
  CHECK_CODE(attach_with(handle, ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE, 1, 0, 0), 87);
  /* Members beside the flag mean nothing. */
  CHECK_CODE(attach_with(handle, 0, 2, 7, 7), 0);
  CHECK(!fake_last_options().has_range);
  close_handle(handle);
}

/* An MBR with `count` partitions of 1 MiB each. */
static void write_mbr(HANDLE handle, int count) {
  static unsigned char sector[512];
  OVERLAPPED start;
  memset(sector, 0, sizeof sector);
  memset(&start, 0, sizeof start);
  sector[510] = 0x55;
  sector[511] = 0xAA;
  for (int i = 0; i < count; ++i) {
    unsigned char* entry = sector + 446 + 16 * i;
    entry[4] = 0x83;
    entry[9] = (unsigned char)(8 * (i + 1)); /* at 2048 sectors, 4096 … */
    entry[13] = 8;
  }
  CHECK_CODE(attach(handle, RAW), 0);
  CHECK(WriteFile(handle, sector, sizeof sector, NULL, &start) == TRUE);
  CHECK_CODE(detach(handle), 0);
}

static void single_partition(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  const ULONG flag = ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION;
  write_mbr(handle, 1);
  CHECK_CODE(attach(handle, flag), 0);
  CHECK(fake_last_options().range_at == 1 << 20 && fake_last_options().range_length == 1 << 20 &&
        !fake_last_options().partitions);
  CHECK_CODE(detach(handle), 0);
  CHECK_CODE(attach_with(handle, flag | ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE, 2, 0, 512), 87);
  write_mbr(handle, 2);
  CHECK_CODE(attach(handle, flag), 87);
  close_handle(handle);
}

static void contract_levels(void) {
  static const char* const levels[] = {"page2018", "windows7"};
  for (int i = 0; i < 2; ++i) {
    HANDLE handle = opened("fixed.vhd", all);
    CHECK_CODE(VirtdiskSetContract(levels[i]), 0);
    CHECK_CODE(attach_and_detach(handle, 0, 1), 0);
    CHECK_CODE(attach_and_detach(handle, 0, 2), 87);
    CHECK_CODE(attach_and_detach(handle, 0x20, 0), 0);
    CHECK_CODE(attach_and_detach(handle, 0x40, 0), 87);
    CHECK_CODE(VirtdiskSetContract("windows10"), 0);
    close_handle(handle);
  }
}

static void iso_rules(void) {
  const struct way read = V1(READ);
  HANDLE handle = opened("disc.iso", read);
  CHECK_CODE(attach(handle, 0), 50);
  CHECK_CODE(attach(handle, READ_ONLY | RAW), 50);
  CHECK_CODE(attach(handle, READ_ONLY | PERMANENT), 0);
  CHECK(fake_last_options().read_only && !fake_last_options().writable_open);
  close_handle(handle);
  /* As Microsoft's sample detaches an ISO. */
  handle = opened("disc.iso", read);
  CHECK(is_loaded(handle));
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
}

static void what_cannot_be_attached(void) {
  HANDLE handle;
  CHECK_CODE(open_as("blank.vhd", all, OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE, &handle), 0);
  CHECK_CODE(attach(handle, 0), 0xC03A001C);
  close_handle(handle);
  CHECK_CODE(open_as("child.vhd", all, OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS, &handle), 0);
  CHECK_CODE(attach(handle, 0), 0xC03A001C);
  close_handle(handle);
  CHECK_CODE(open_as("fixed.vhd", all, OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS, &handle), 0);
  CHECK_CODE(attach(handle, 0), 0);
  close_handle(handle);
}

static void overlapped_calls_end_at_once(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  OVERLAPPED overlapped;
  memset(&overlapped, 0, sizeof overlapped);
  overlapped.Internal = STATUS_PENDING;
  CHECK_CODE(AttachVirtualDisk(handle, NULL, ATTACH_VIRTUAL_DISK_FLAG_NONE, 0, NULL, &overlapped), 0);
  CHECK(HasOverlappedIoCompleted(&overlapped) && overlapped.Internal == 0);
  CHECK_CODE(AttachVirtualDisk(handle, NULL, ATTACH_VIRTUAL_DISK_FLAG_NONE, 0, NULL, &overlapped), 32);
  CHECK(HasOverlappedIoCompleted(&overlapped) && overlapped.Internal == 0xC0070020);
  close_handle(handle);
}

/* ---- Who may come beside an attachment (2, 7 T21 and T22) ---------------------------------------------- */

struct sharing_row {
  const char* what;
  struct way way;
  DWORD codes[4]; /* beside: read-only, writable, permanent read-only, permanent writable */
};

static const struct sharing_row sharing_rows[] = {
    {"GET_INFO", V1(GET_INFO), {0, 0, 32, 32}},
    {"DETACH", V1(DETACH), {0, 0, 0, 0}},
    {"DETACH|GET_INFO", V1(DETACH | GET_INFO), {0, 0, 0, 0}},
    {"ATTACH_RO", V1(ATTACH_RO), {0, 32, 32, 32}},
    {"READ", V1(READ), {0, 32, 0, 0}},
    {"ATTACH_RW", V1(ATTACH_RW), {32, 32, 32, 32}},
    {"METAOPS", V1(METAOPS), {32, 32, 32, 32}},
    {"METAOPS|DETACH", V1(METAOPS | DETACH), {32, 32, 32, 0}},
    {"ALL", V1(ALL), {32, 32, 32, 0}},
    {"version 2", {2, 0, 0, FALSE, FALSE}, {0, 0, 0, 0}},
    {"version 2 ReadOnly", {2, 0, 0, FALSE, TRUE}, {0, 0, 0, 0}},
    {"version 2 GetInfoOnly", {2, 0, 0, TRUE, FALSE}, {0, 0, 0, 0}},
};

/* Whatever may come beside an attachment, nothing attaches the image twice. */
static void opens_beside_an_attachment(const char* name) {
  static const ULONG kinds[4] = {READ_ONLY, 0, READ_ONLY | PERMANENT, PERMANENT};
  for (int kind = 0; kind < 4; ++kind) {
    HANDLE first = opened(name, v2);
    CHECK_CODE(attach(first, kinds[kind]), 0);
    if (kinds[kind] & PERMANENT) close_handle(first);
    CHECK(fake_count() == 1);
    for (size_t i = 0; i < sizeof sharing_rows / sizeof *sharing_rows; ++i) {
      const struct sharing_row* row = &sharing_rows[i];
      HANDLE second;
      DWORD code = open_as(name, row->way, 0, &second);
      check_code(code, row->codes[kind], row->what, __FILE__, __LINE__);
      if (code != 0) continue;
      int may_attach = row->way.version > 1 ? !row->way.get_info_only : (row->way.mask & ATTACH_RO) != 0;
      CHECK_CODE(attach(second, READ_ONLY), may_attach ? 32 : 5);
      close_handle(second);
      CHECK(fake_count() == 1);
    }
    if (!(kinds[kind] & PERMANENT)) {
      CHECK_CODE(attach(first, 0), 32); /* of the same handle */
      close_handle(first);
    } else {
      HANDLE last = opened(name, v2);
      CHECK_CODE(detach(last), 0);
      close_handle(last);
    }
    CHECK(fake_count() == 0);
  }
}

/* Opens and attachments beside handles that have nothing attached. */
static void attaching_beside_other_handles(void) {
  const struct way metaops = V1(METAOPS), attach_ro = V1(ATTACH_RO), get_info = V1(GET_INFO);
  HANDLE other, handle;
  other = opened("fixed.vhd", metaops);
  CHECK_CODE(open_as("fixed.vhd", attach_ro, 0, &handle), 32);
  CHECK_CODE(open_as("fixed.vhd", all, 0, &handle), 32);
  close_handle(other);
  other = opened("fixed.vhd", attach_ro);
  CHECK_CODE(open_as("fixed.vhd", metaops, 0, &handle), 32);
  handle = opened("fixed.vhd", v2_read_only);
  CHECK_CODE(attach(handle, READ_ONLY), 0);
  CHECK(is_loaded(handle));
  CHECK_CODE(attach(other, READ_ONLY), 32);
  close_handle(handle);
  close_handle(other);
  other = opened("fixed.vhd", get_info);
  handle = opened("fixed.vhd", attach_ro);
  CHECK_CODE(attach(handle, READ_ONLY), 0);
  CHECK(is_loaded(other));
  close_handle(handle);
  CHECK(!is_loaded(other));
  close_handle(other);
}

/* ---- Lifetime (2) -------------------------------------------------------------------------------------- */

static void the_disk_goes_with_the_last_handle(void) {
  HANDLE first = opened("fixed.vhd", v2), second;
  CHECK_CODE(attach(first, 0), 0);
  close_handle(first);
  CHECK(fake_count() == 0); /* attach with NONE and close: the disk never appears to stay */

  first = opened("fixed.vhd", v2);
  CHECK_CODE(attach(first, 0), 0);
  second = opened("fixed.vhd", v2);
  close_handle(first);
  CHECK(fake_count() == 1);
  close_handle(second);
  CHECK(fake_count() == 0);

  first = opened("fixed.vhd", v2);
  CHECK_CODE(attach(first, PERMANENT), 0);
  close_handle(first);
  CHECK(fake_count() == 1);
  second = opened("fixed.vhd", v2);
  CHECK_CODE(detach(second), 0);
  CHECK_CODE(detach(second), 1168);
  close_handle(second);
  CHECK(fake_count() == 0);
}

/* ---- The image while it is attached, and after --------------------------------------------------------- */

static void every_class_of_information(HANDLE handle, BOOL loaded) {
  GET_VIRTUAL_DISK_INFO info;
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
  CHECK(info.Size.VirtualSize == 64 << 20);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_IDENTIFIER, &info), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER, &info), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PARENT_TIMESTAMP, &info), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PARENT_LOCATION, &info), 122);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE, &info), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE, &info), 0);
  CHECK(info.ProviderSubtype == 4);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_FRAGMENTATION, &info), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_PHYSICAL_DISK, &info), 0);
  CHECK(is_loaded(handle) == loaded);
}

static void information_while_attached(void) {
  HANDLE handle = opened("child.vhd", v2), other;
  every_class_of_information(handle, FALSE);
  CHECK_CODE(attach(handle, 0), 0);
  every_class_of_information(handle, TRUE);
  other = opened("child.vhd", v2);
  every_class_of_information(other, TRUE);
  close_handle(other);
  CHECK_CODE(detach(handle), 0);
  every_class_of_information(handle, FALSE);
  CHECK_CODE(attach(handle, READ_ONLY), 0); /* and again */
  every_class_of_information(handle, TRUE);
  close_handle(handle);
}

/* Whoever loses the image gets it back: at once after a failure or its own detach, else with the next call.
 */
static void the_image_is_taken_back(void) {
  HANDLE first = opened("fixed.vhd", v2), second, writer;
  GET_VIRTUAL_DISK_INFO info;
  fake_fail_next_attach(ERROR_PRIVILEGE_NOT_HELD);
  CHECK_CODE(attach(first, 0), ERROR_PRIVILEGE_NOT_HELD);
  CHECK(!is_loaded(first));
  CHECK_CODE(open_as("fixed.vhd", v2, 0, &writer), 32); /* it has its lock again */

  CHECK_CODE(attach(first, 0), 0);
  fake_set_busy(1);
  CHECK_CODE(detach(first), ERROR_BUSY);
  CHECK(is_loaded(first) && fake_count() == 1);
  fake_set_busy(0);
  CHECK_CODE(detach(first), 0);
  CHECK_CODE(open_as("fixed.vhd", v2, 0, &writer), 32);

  CHECK_CODE(attach(first, 0), 0);
  second = opened("fixed.vhd", v2);
  CHECK_CODE(detach(second), 0); /* this one is the writer now */
  CHECK_CODE(query(second, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
  CHECK_CODE(query(first, GET_VIRTUAL_DISK_INFO_SIZE, &info), 32);
  CHECK_CODE(attach(first, 0), 32);
  CHECK(!is_loaded(first));
  CHECK_CODE(detach(first), 1168);
  close_handle(second);
  CHECK_CODE(query(first, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);

  CHECK_CODE(attach(first, 0), 0);
  fake_end_all();
  wchar_t path[64];
  CHECK(!is_loaded(first));
  CHECK_CODE(device_of(first, path, sizeof path), 55);
  CHECK_CODE(detach(first), 1168);
  CHECK_CODE(query(first, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
  CHECK_CODE(open_as("fixed.vhd", v2, 0, &writer), 32);
  CHECK_CODE(attach(first, 0), 0);
  close_handle(first);
  CHECK(fake_count() == 0);
}

/* The handle comes back by the path: not to another file of that name. */
static void rename_image(const char* from, const char* to) {
  char old_path[4096], new_path[4096];
  snprintf(old_path, sizeof old_path, "%s/%s", image_folder, from);
  snprintf(new_path, sizeof new_path, "%s/%s", image_folder, to);
  CHECK(rename(old_path, new_path) == 0);
}

static void the_file_is_replaced(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  GET_VIRTUAL_DISK_INFO info;
  CHECK_CODE(attach(handle, 0), 0);
  rename_image("fixed.vhd", "moved.vhd");
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), ERROR_FILE_NOT_FOUND);
  rename_image("secret.vhd", "fixed.vhd");
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), ERROR_FILE_INVALID);
  CHECK_CODE(detach(handle), 0);
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), ERROR_FILE_INVALID);
  CHECK_CODE(attach(handle, 0), ERROR_FILE_INVALID);
  rename_image("fixed.vhd", "secret.vhd");
  rename_image("moved.vhd", "fixed.vhd");
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0);
  rename_image("fixed.vhd", "moved.vhd");
  CHECK_CODE(query(handle, GET_VIRTUAL_DISK_INFO_SIZE, &info), 0); /* held again */
  CHECK_CODE(attach(handle, 0), ERROR_FILE_NOT_FOUND);
  rename_image("moved.vhd", "fixed.vhd");
  close_handle(handle);
}

/* A relative path means the file of the open, wherever the process goes. */
static void the_process_moves(void) {
  char here[4096];
  VIRTUAL_STORAGE_TYPE type = storage_type(VIRTUAL_STORAGE_TYPE_DEVICE_VHD);
  HANDLE handle = NULL;
  CHECK(getcwd(here, sizeof here) != NULL && chdir(image_folder) == 0);
  CHECK_CODE(OpenVirtualDisk(&type, L"fixed.vhd", VIRTUAL_DISK_ACCESS_ALL, OPEN_VIRTUAL_DISK_FLAG_NONE, NULL,
                             &handle),
             0);
  CHECK(chdir("/") == 0);
  CHECK_CODE(attach(handle, 0), 0);
  CHECK(is_loaded(handle));
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
  CHECK(chdir(here) == 0);
}

/* ---- Paths (3.5, 3.6) ---------------------------------------------------------------------------------- */

static void physical_path(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  wchar_t path[128];
  ULONG size = sizeof path, needed;
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, path), 55);
  CHECK_CODE(attach(handle, 0), 0);
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, path), 0);
  CHECK(wcsncmp(path, L"/dev/fake", 9) == 0);
  needed = (ULONG)((wcslen(path) + 1) * sizeof(wchar_t));
  CHECK(size == needed);
  size = 128; /* the count of elements, as some clients pass it */
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, path), 0);
  CHECK(size == needed);
  for (ULONG small = 1; small < needed; ++small) {
    size = small;
    CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, path), 122);
    CHECK(size == needed);
  }
  size = needed;
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, path), 0);
  size = 0;
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, NULL), 122);
  CHECK(size == needed);
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, NULL), 87);
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, NULL, path), 87);
  CHECK_CODE(GetVirtualDiskPhysicalPath(NULL, &size, path), 87);
  close_handle(handle);
}

static void all_attached_paths(void) {
  static const char* const names[] = {"fixed.vhd", "dynamic.vhdx", "disc.iso"};
  const struct way read = V1(READ);
  wchar_t paths[4096], *end;
  ULONG size = 0, needed;
  HANDLE handles[3], raw;
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, NULL), 0);
  CHECK(size == 0);
  size = sizeof paths;
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, paths), 0);
  CHECK(size == sizeof(wchar_t) && paths[0] == 0);
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(NULL, paths), 87);
  for (int i = 0; i < 3; ++i) {
    handles[i] = opened(names[i], read);
    CHECK_CODE(attach(handles[i], READ_ONLY), 0);
  }
  raw = opened("dynamic.vhd", v2);
  CHECK_CODE(attach(raw, RAW), 0);
  size = 0;
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, NULL), 122);
  needed = size;
  --size;
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, paths), 122);
  CHECK(size == needed);
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, paths), 0);
  end = paths;
  for (int i = 0; i < 3; ++i) {
    CHECK(wcscmp(end, image(names[i])) == 0); /* the images, not the devices; without the raw one */
    end += wcslen(end) + 1;
  }
  CHECK(*end == 0 && (ULONG)((end + 1 - paths) * (int)sizeof(wchar_t)) == needed);
  for (int i = 0; i < 3; ++i) close_handle(handles[i]);
  close_handle(raw);
}

/* ---- Dependencies (3.7, 6) ----------------------------------------------------------------------------- */

static union {
  STORAGE_DEPENDENCY_INFO info;
  unsigned char bytes[32768];
} answer;

static DWORD dependencies(HANDLE object, ULONG flags, ULONG version, ULONG size, ULONG* used) {
  memset(&answer, 0xEE, sizeof answer);
  answer.info.Version = (STORAGE_DEPENDENCY_INFO_VERSION)version;
  return GetStorageDependencyInformation(object, (GET_STORAGE_DEPENDENCY_FLAG)flags, size, &answer.info,
                                         used);
}

static HANDLE object_at(const wchar_t* path) {
  HANDLE handle = NULL;
  CHECK_CODE(VirtdiskHandleFromPath(path, &handle), 0);
  return handle;
}

/* HostVolumeName and DependentVolumeRelativePath name the file together. */
static void check_file(const STORAGE_DEPENDENCY_INFO_TYPE_2* entry, const char* name) {
  wchar_t whole[2048];
  const wchar_t* volume = wcscmp(entry->HostVolumeName, L"/") == 0 ? L"" : entry->HostVolumeName;
  swprintf(whole, 2048, L"%ls%ls", volume, entry->DependentVolumeRelativePath);
  CHECK(wcscmp(whole, image(name)) == 0);
}

static void dependency_arguments(void) {
  HANDLE folder = object_at(L"/");
  ULONG used = 7;
  STORAGE_DEPENDENCY_INFO info;
  info.Version = STORAGE_DEPENDENCY_INFO_VERSION_2;
  CHECK_CODE(GetStorageDependencyInformation(folder, GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE, 0, &info, NULL),
             87); /* Wine G1 */
  CHECK_CODE(GetStorageDependencyInformation(folder, GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE, sizeof info,
                                             NULL, NULL),
             87); /* Wine G2 */
  CHECK_CODE(dependencies(folder, 4, 1, sizeof answer, &used), 87);
  CHECK_CODE(dependencies(folder, 0, 0, sizeof answer, &used), 87);
  CHECK_CODE(dependencies(folder, 0, 3, sizeof answer, &used), 87);
  CHECK_CODE(dependencies(NULL, 0, 1, sizeof answer, &used), 6);
  CHECK(used == 7);
  CHECK_CODE(dependencies(folder, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 2, sizeof answer, &used),
             0xC03A0015);
  CHECK_CODE(dependencies(folder, 0, 2, sizeof answer, &used), 0); /* nothing lies on it */
  CHECK(used == 8 && answer.info.NumberEntries == 0);
  close_handle(folder);
  CHECK_CODE(dependencies(folder, 0, 1, sizeof answer, &used), 6);
  folder = NULL;
  CHECK_CODE(VirtdiskHandleFromPath(NULL, &folder), 87);
  CHECK_CODE(VirtdiskHandleFromPath(L"/", NULL), 87);
  CHECK_CODE(VirtdiskHandleFromPath(L"", &folder), 123);
  CHECK_CODE(VirtdiskHandleFromPath(image("absent"), &folder), 2);
  CHECK(folder == NULL);
}

static void dependencies_of_a_chain(void) {
  HANDLE handle = opened("child.vhdx", v2), folder;
  ULONG used = 0;
  const DEPENDENT_DISK_FLAG volume_flags =
      DEPENDENT_DISK_FLAG_SYSTEM_VOLUME_PARENT | DEPENDENT_DISK_FLAG_REMOVABLE;
  STORAGE_DEPENDENCY_INFO_TYPE_2* entry;
  CHECK_CODE(attach(handle, PERMANENT), 0);
  CHECK_CODE(dependencies(handle, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 2,
                          sizeof(STORAGE_DEPENDENCY_INFO), &used),
             122);
  CHECK(used > 8 + 2 * sizeof(STORAGE_DEPENDENCY_INFO_TYPE_2));
  CHECK_CODE(dependencies(handle, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 2, used - 1, &used), 122);
  CHECK_CODE(dependencies(handle, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 2, used, NULL), 0);
  CHECK(answer.info.NumberEntries == 2);
  entry = answer.info.Version2Entries;
  CHECK(entry[0].AncestorLevel == 1 && entry[1].AncestorLevel == 0);
  check_file(&entry[0], "child.vhdx");
  check_file(&entry[1], "dynamic.vhdx");
  CHECK((entry[0].DependencyTypeFlags & ~volume_flags) ==
        (DEPENDENT_DISK_FLAG_MULT_BACKING_FILES | DEPENDENT_DISK_FLAG_PERMANENT_LIFETIME));
  CHECK((entry[1].DependencyTypeFlags & ~volume_flags) ==
        (DEPENDENT_DISK_FLAG_MULT_BACKING_FILES | DEPENDENT_DISK_FLAG_PERMANENT_LIFETIME |
         DEPENDENT_DISK_FLAG_PARENT | DEPENDENT_DISK_FLAG_READ_ONLY));
  for (int i = 0; i < 2; ++i) {
    CHECK(entry[i].VirtualStorageType.DeviceId == VIRTUAL_STORAGE_TYPE_DEVICE_VHDX);
    CHECK(wcsncmp(entry[i].DependencyDeviceName, L"/dev/fake", 9) == 0 &&
          entry[i].DependentVolumeName[0] == 0);
    CHECK((unsigned char*)entry[i].HostVolumeName > (unsigned char*)&entry[2] &&
          (unsigned char*)entry[i].HostVolumeName < answer.bytes + used);
  }
  CHECK_CODE(dependencies(handle, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 1, sizeof answer, &used), 0);
  CHECK(used == 8 + 2 * 28 && answer.info.NumberEntries == 2);
  CHECK(answer.info.Version1Entries[1].VirtualStorageType.DeviceId == VIRTUAL_STORAGE_TYPE_DEVICE_VHDX);
  CHECK(answer.bytes[used] == 0xEE);
  /* From below: both files lie on the folder's volume. On a file system without a device there is nothing to
   * find. */
  folder = object_at(image("."));
  CHECK_CODE(dependencies(folder, 0, 2, sizeof answer, &used), 0);
  CHECK(answer.info.NumberEntries == 2 || answer.info.NumberEntries == 0);
  close_handle(folder);
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
}

static void dependencies_of_single_disks(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  ULONG used = 0;
  STORAGE_DEPENDENCY_INFO_TYPE_2* entry = answer.info.Version2Entries;
  CHECK_CODE(attach(handle, RAW | READ_ONLY), 0);
  CHECK_CODE(dependencies(handle, 1, 2, sizeof answer, &used), 0);
  CHECK(answer.info.NumberEntries == 1 && entry->AncestorLevel == 0);
  CHECK((entry->DependencyTypeFlags & DEPENDENT_DISK_FLAG_NO_HOST_DISK) != 0 &&
        (entry->DependencyTypeFlags & DEPENDENT_DISK_FLAG_FULLY_ALLOCATED) != 0);
  CHECK(entry->DependencyDeviceName[0] == 0);
  CHECK_CODE(dependencies(handle, 0, 2, sizeof answer, &used), 0); /* nothing lies on it */
  CHECK(answer.info.NumberEntries == 0);
  CHECK_CODE(detach(handle), 0);

  CHECK_CODE(attach(handle, READ_ONLY), 0);
  CHECK_CODE(dependencies(handle, 1, 2, sizeof answer, &used), 0);
  CHECK((entry->DependencyTypeFlags & DEPENDENT_DISK_FLAG_READ_ONLY) != 0);
  CHECK_CODE(dependencies(handle, 0, 2, sizeof answer, &used), 0);
  CHECK(answer.info.NumberEntries == 0);
  close_handle(handle);
}

/* The volume that the folder of the images lies on stands in for an attached disk. */
static void dependencies_of_a_volume(void) {
  HANDLE folder = object_at(image(".")), handle = opened("fixed.vhd", v2);
  const STORAGE_DEPENDENCY_INFO_TYPE_2* entry = answer.info.Version2Entries;
  for (int as_partition = 0; as_partition < 2; ++as_partition) {
    ULONG used = 0;
    if (!fake_next_device_of(image_folder, as_partition)) {
      printf("skipped: %s lies on no block device\n", image_folder);
      break;
    }
    CHECK_CODE(attach(handle, READ_ONLY), 0);
    CHECK_CODE(dependencies(folder, GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES, 2, sizeof answer, &used), 0);
    CHECK(answer.info.NumberEntries == 1);
    check_file(entry, "fixed.vhd");
    CHECK(entry->DependentVolumeName[0] == L'/'); /* where that device is mounted */
    CHECK_CODE(dependencies(folder, 0, 2, sizeof answer, &used), 0);
    CHECK(answer.info.NumberEntries == 1); /* the image lies on the volume, too */
    CHECK_CODE(detach(handle), 0);
  }
  close_handle(handle);
  close_handle(folder);
}

int main(int argc, char** argv) {
  if (argc > 1) image_folder = argv[1];
  rights();
  attach_arguments();
  restricted_range();
  single_partition();
  contract_levels();
  iso_rules();
  what_cannot_be_attached();
  overlapped_calls_end_at_once();
  opens_beside_an_attachment("fixed.vhd");
  opens_beside_an_attachment("dynamic.vhdx");
  attaching_beside_other_handles();
  the_disk_goes_with_the_last_handle();
  information_while_attached();
  the_image_is_taken_back();
  the_file_is_replaced();
  the_process_moves();
  physical_path();
  all_attached_paths();
  dependency_arguments();
  dependencies_of_a_chain();
  dependencies_of_single_disks();
  dependencies_of_a_volume();
  return checks_done();
}
