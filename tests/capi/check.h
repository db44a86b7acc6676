// SPDX-License-Identifier: Apache-2.0
/* The smallest test frame for plain C: counts checks, prints each failure with its place, exits 1 if there
 * was one. A program prints how many checks ran, so that an empty test cannot pass for a full one. */
#ifndef VDISK_TESTS_CAPI_CHECK_H_
#define VDISK_TESTS_CAPI_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <virtdisk.h>
#include <wchar.h>
#include <windows.h>

static int checks_run = 0;
static int checks_failed = 0;

static void check_code(unsigned long got, unsigned long wanted, const char* what, const char* file,
                       int line) {
  ++checks_run;
  if (got == wanted) return;
  ++checks_failed;
  fprintf(stderr, "%s:%d: %s: got %lu (0x%lX), wanted %lu (0x%lX)\n    %s\n", file, line, what, got, got,
          wanted, wanted, VirtdiskGetLastErrorText());
}

static void check_true(int holds, const char* what, const char* file, int line) {
  ++checks_run;
  if (holds) return;
  ++checks_failed;
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
}

#define CHECK_CODE(expression, wanted) check_code((expression), (wanted), #expression, __FILE__, __LINE__)
#define CHECK(condition) check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

static int checks_done(void) {
  printf("%d checks, %d failed\n", checks_run, checks_failed);
  return checks_failed == 0 && checks_run > 0 ? 0 : 1;
}

/* The folder of the images that make_images wrote, and paths in it. Each call has its own buffer. */
static const char* image_folder = ".";

static const wchar_t* image(const char* name) {
  static wchar_t buffers[16][1024];
  static int next = 0;
  wchar_t* out = buffers[next++ % 16];
  swprintf(out, 1024, L"%hs/%hs", image_folder, name);
  return out;
}

static VIRTUAL_STORAGE_TYPE storage_type(ULONG device) {
  VIRTUAL_STORAGE_TYPE type;
  type.DeviceId = device;
  type.VendorId = device == VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN ? VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN
                                                                : VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT;
  return type;
}

#define SENTINEL ((HANDLE)(ULONG_PTR)0x5EA1ED)

/* Opens with the given arguments, checks that a failure leaves the handle alone, closes on success. */
static DWORD try_open(ULONG device, const wchar_t* path, ULONG mask, ULONG flags,
                      OPEN_VIRTUAL_DISK_PARAMETERS* parameters) {
  VIRTUAL_STORAGE_TYPE type = storage_type(device);
  HANDLE handle = SENTINEL;
  DWORD code = OpenVirtualDisk(&type, path, (VIRTUAL_DISK_ACCESS_MASK)mask, (OPEN_VIRTUAL_DISK_FLAG)flags,
                               parameters, &handle);
  if (code == ERROR_SUCCESS) {
    CHECK(handle != SENTINEL && handle != NULL && handle != INVALID_HANDLE_VALUE);
    CHECK(CloseHandle(handle) == TRUE);
  } else {
    CHECK(handle == SENTINEL); /* T4 */
  }
  return code;
}

/* Parameters of a version with every other byte set to `garbage`, as a client that sets Version alone has
 * them. */
static OPEN_VIRTUAL_DISK_PARAMETERS parameters_of(ULONG version, int garbage) {
  OPEN_VIRTUAL_DISK_PARAMETERS parameters;
  memset(&parameters, garbage, sizeof parameters);
  parameters.Version = (OPEN_VIRTUAL_DISK_VERSION)version;
  return parameters;
}

#endif
