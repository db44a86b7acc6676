// SPDX-License-Identifier: Apache-2.0
/* The C API over real devices: what attach_test.c tries over attachments without devices, once from end to
 * end. argv[1] is the folder that make_images filled. Needs root and loop devices. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "check.h"

#define SKIPPED 77
#define MIB ((off_t)1 << 20)

static unsigned char out[1 << 16], in[1 << 16];

static void fill(unsigned char with) {
  for (size_t i = 0; i < sizeof out; ++i) out[i] = (unsigned char)(with + i / 512);
}

static int open_device(HANDLE handle, int flags, char* path, size_t path_size) {
  wchar_t wide[64];
  ULONG size = sizeof wide;
  CHECK_CODE(GetVirtualDiskPhysicalPath(handle, &size, wide), 0);
  snprintf(path, path_size, "%ls", wide);
  int fd = open(path, flags | O_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

/* Until nobody has the image attached; a server that was left alone needs a moment. */
static int detached_in_time(HANDLE handle) {
  for (int tries = 0; tries < 3000; ++tries) {
    if (!is_loaded(handle)) return 1;
    usleep(10000);
  }
  return 0;
}

static int listed(const char* name) {
  static wchar_t paths[65536];
  ULONG size = sizeof paths;
  CHECK_CODE(GetAllAttachedVirtualDiskPhysicalPaths(&size, paths), 0);
  for (const wchar_t* path = paths; *path != 0; path += wcslen(path) + 1) {
    if (wcscmp(path, image(name)) == 0) return 1;
  }
  return 0;
}

static void lies_on(const char* device, const char* name) {
  static union {
    STORAGE_DEPENDENCY_INFO info;
    unsigned char bytes[16384];
  } answer;
  wchar_t wide[64], whole[4096];
  HANDLE object = NULL;
  const STORAGE_DEPENDENCY_INFO_TYPE_2* entry = answer.info.Version2Entries;
  swprintf(wide, 64, L"%hs", device);
  CHECK_CODE(VirtdiskHandleFromPath(wide, &object), 0);
  answer.info.Version = STORAGE_DEPENDENCY_INFO_VERSION_2;
  CHECK_CODE(
      GetStorageDependencyInformation(object,
                                      (GET_STORAGE_DEPENDENCY_FLAG)(GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES |
                                                                    GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE),
                                      sizeof answer, &answer.info, NULL),
      0);
  CHECK(answer.info.NumberEntries == 1 && wcscmp(entry->DependencyDeviceName, wide) == 0);
  swprintf(whole, 4096, L"%ls%ls", wcscmp(entry->HostVolumeName, L"/") == 0 ? L"" : entry->HostVolumeName,
           entry->DependentVolumeRelativePath);
  CHECK(wcscmp(whole, image(name)) == 0);
  close_handle(object);
}

static void read_raw(const char* name, off_t offset) {
  HANDLE handle = opened(name, v2_read_only);
  OVERLAPPED overlapped;
  memset(&overlapped, 0, sizeof overlapped);
  overlapped.Offset = (DWORD)offset;
  CHECK_CODE(attach(handle, RAW | READ_ONLY), 0);
  CHECK(ReadFile(handle, in, sizeof in, NULL, &overlapped) == TRUE);
  close_handle(handle);
}

/* As a client does that gives an OVERLAPPED: waits for the event, asks how it ended. */
static DWORD attach_with_event(HANDLE handle) {
  OVERLAPPED overlapped;
  VIRTUAL_DISK_PROGRESS progress;
  DWORD moved, code;
  memset(&overlapped, 0, sizeof overlapped);
  overlapped.hEvent = CreateEvent(NULL, TRUE, FALSE, NULL);
  code = AttachVirtualDisk(handle, NULL, ATTACH_VIRTUAL_DISK_FLAG_NONE, 0, NULL, &overlapped);
  if (code == ERROR_SUCCESS || code == ERROR_IO_PENDING) {
    CHECK_CODE(WaitForSingleObject(overlapped.hEvent, INFINITE), WAIT_OBJECT_0);
    code = GetOverlappedResult(handle, &overlapped, &moved, FALSE) ? ERROR_SUCCESS : GetLastError();
    CHECK_CODE(GetVirtualDiskOperationProgress(handle, &overlapped, &progress), 0);
    CHECK_CODE(progress.OperationStatus, code);
  }
  close_handle(overlapped.hEvent);
  return code;
}

/* 0 when the image was attached; the code when this host cannot serve it. */
static void a_disk_is_a_device(const char* name) {
  HANDLE handle = opened(name, v2), other;
  char device[64];
  int fd;
  CHECK_CODE(attach_with_event(handle), 0);
  if (!is_loaded(handle)) {
    close_handle(handle);
    return;
  }
  fd = open_device(handle, O_RDWR, device, sizeof device);
  fill(5);
  CHECK(pwrite(fd, out, sizeof out, MIB) == (ssize_t)sizeof out);
  CHECK(fsync(fd) == 0);
  CHECK(pread(fd, in, sizeof in, MIB) == (ssize_t)sizeof in && memcmp(in, out, sizeof in) == 0);
  CHECK(listed(name));
  lies_on(device, name);
  CHECK_CODE(open_as(name, all, 0, &other), 32);
  CHECK_CODE(open_as(name, v2, 0, &other), 0);
  CHECK_CODE(attach(other, READ_ONLY), 32);
  CHECK_CODE(detach(other), ERROR_BUSY); /* somebody has the device open */
  CHECK(is_loaded(handle));
  close(fd);
  CHECK_CODE(detach(other), 0);
  CHECK(!is_loaded(handle) && !listed(name));
  CHECK_CODE(detach(handle), 1168);
  close_handle(other);
  close_handle(handle);
  read_raw(name, MIB);
  CHECK(memcmp(in, out, sizeof in) == 0);
}

/* Attach with NONE and close: the disk goes. */
static void the_last_handle_takes_the_disk_along(void) {
  HANDLE handle = opened("fixed.vhd", v2), look;
  CHECK_CODE(attach(handle, 0), 0);
  look = opened("dynamic.vhd", v2); /* another image's handle changes nothing */
  close_handle(handle);
  close_handle(look);
  const struct way get_info = V1(GET_INFO);
  for (int tries = 0; tries < 3000 && open_as("fixed.vhd", v2, 0, &handle) != 0; ++tries) usleep(10000);
  CHECK(handle != NULL);
  CHECK(detached_in_time(handle));
  close_handle(handle);
  look = opened("fixed.vhd", get_info);
  CHECK(!is_loaded(look));
  close_handle(look);
}

static void the_process_takes_the_disk_along(void) {
  HANDLE handle;
  int status = 0;
  const pid_t child = fork();
  if (child == 0) _exit(attach(opened("fixed.vhd", v2), 0) == 0 && checks_failed == 0 ? 0 : 1);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  handle = opened("fixed.vhd", v2);
  CHECK(detached_in_time(handle));
  close_handle(handle);
}

static void a_permanent_disk_stays(void) {
  const struct way get_info = V1(GET_INFO), may_detach = V1(GET_INFO | DETACH),
                   metaops = V1(DETACH | METAOPS);
  HANDLE handle = opened("fixed.vhd", v2_read_only);
  char device[64];
  int fd;
  CHECK_CODE(attach(handle, READ_ONLY | PERMANENT), 0);
  close_handle(handle);
  CHECK_CODE(open_as("fixed.vhd", get_info, 0, &handle), 32); /* T21 */
  CHECK_CODE(open_as("fixed.vhd", metaops, 0, &handle), 32);  /* T22 */
  handle = opened("fixed.vhd", may_detach);
  fd = open_device(handle, O_RDONLY, device, sizeof device);
  CHECK(pread(fd, in, sizeof in, MIB) == (ssize_t)sizeof in);
  close(fd);
  fd = open(device, O_RDWR | O_CLOEXEC);
  CHECK(fd < 0 || pwrite(fd, out, 512, 0) < 0); /* it is read-only */
  if (fd >= 0) close(fd);
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
}

static void an_iso_is_a_device(void) {
  const struct way read = V1(READ);
  HANDLE handle = opened("disc.iso", read);
  char device[64];
  CHECK_CODE(attach(handle, READ_ONLY), 0);
  int fd = open_device(handle, O_RDONLY, device, sizeof device);
  CHECK(pread(fd, in, 2048, 16 * 2048) == 2048 && memcmp(in + 1, "CD001", 5) == 0);
  close(fd);
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
}

/* Devices are root's to make; the sentence says so. */
static void without_the_privilege(void) {
  char registry[4096];
  int status = 0;
  snprintf(registry, sizeof registry, "%s/registry_of_nobody", image_folder);
  mkdir(registry, 0700);
  CHECK(chown(registry, 65534, 65534) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const struct way read = V1(READ);
    HANDLE handle;
    setenv("VDISK_RUNTIME_DIR", registry, 1);
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    handle = opened("readonly.vhd", read);
    CHECK_CODE(attach(handle, READ_ONLY), ERROR_PRIVILEGE_NOT_HELD);
    CHECK(strlen(VirtdiskGetLastErrorText()) > 0);
    CHECK(!is_loaded(handle));
    _exit(checks_failed == 0 ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char** argv) {
  if (argc > 1) image_folder = argv[1];
  if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) != 0) {
    printf("skipped: attaching needs root and loop devices\n");
    return SKIPPED;
  }
  a_disk_is_a_device("fixed.vhd");
  the_last_handle_takes_the_disk_along();
  the_process_takes_the_disk_along();
  a_permanent_disk_stays();
  an_iso_is_a_device();
  without_the_privilege();
  if (access("/dev/fuse", R_OK | W_OK) == 0) {
    a_disk_is_a_device("dynamic.vhd");
    a_disk_is_a_device("dynamic.vhdx");
  } else {
    printf("skipped: images that are not one run of bytes need /dev/fuse\n");
  }
  return checks_done();
}
