// SPDX-License-Identifier: Apache-2.0
/* Disks attached with NO_LOCAL_HOST: ReadFile, WriteFile and FlushFileBuffers on the handle itself
 * (virtdisk-api.md 3.3). argv[1] is the folder that make_images filled. */
#include "calls.h"
#include "check.h"
#include "fake_attachments.h"

#define MIB (1024ULL * 1024)
static unsigned char out[1 << 20], in[1 << 20];

static HANDLE open_v2(const char* name, ULONG flags, BOOL read_only) {
  HANDLE handle;
  CHECK_CODE(open_as(name, read_only ? v2_read_only : v2, flags, &handle), 0);
  return handle;
}

static OVERLAPPED at(unsigned long long offset) {
  OVERLAPPED overlapped;
  memset(&overlapped, 0, sizeof overlapped);
  overlapped.Offset = (DWORD)offset;
  overlapped.OffsetHigh = (DWORD)(offset >> 32);
  overlapped.Internal = STATUS_PENDING;
  return overlapped;
}

/* Both give the code and check what the OVERLAPPED says; `moved` bytes are expected. */
static DWORD read_at(HANDLE handle, unsigned long long offset, DWORD length, DWORD moved) {
  OVERLAPPED overlapped = at(offset);
  DWORD count = 77;
  SetLastError(0);
  BOOL good = ReadFile(handle, in, length, &count, &overlapped);
  CHECK(count == moved && overlapped.InternalHigh == moved && HasOverlappedIoCompleted(&overlapped));
  CHECK(good == (GetLastError() == 0));
  return GetLastError();
}
static DWORD write_at(HANDLE handle, unsigned long long offset, DWORD length, DWORD moved) {
  OVERLAPPED overlapped = at(offset);
  DWORD count = 77;
  SetLastError(0);
  BOOL good = WriteFile(handle, out, length, &count, &overlapped);
  CHECK(count == moved && overlapped.InternalHigh == moved && HasOverlappedIoCompleted(&overlapped));
  CHECK(good == (GetLastError() == 0));
  return GetLastError();
}
static DWORD flush(HANDLE handle) { return FlushFileBuffers(handle) ? 0 : GetLastError(); }

static void fill(unsigned char with) {
  for (size_t i = 0; i < sizeof out; ++i) out[i] = (unsigned char)(with + i / 512);
}

static void reads_and_writes(const char* name, unsigned long long size, ULONG sector, ULONG flags) {
  HANDLE handle = open_v2(name, flags, FALSE);
  CHECK_CODE(attach(handle, RAW), 0);
  CHECK(fake_count() == 0); /* no server, no device */
  fill(3);
  CHECK_CODE(write_at(handle, 0, sizeof out, sizeof out), 0);
  CHECK_CODE(write_at(handle, size - MIB, sizeof out, sizeof out), 0);
  CHECK_CODE(flush(handle), 0);
  memset(in, 0, sizeof in);
  CHECK_CODE(read_at(handle, size - MIB, sizeof in, sizeof in), 0);
  CHECK(memcmp(in, out, sizeof in) == 0);
  CHECK_CODE(read_at(handle, sector, sector, sector), 0);
  CHECK(memcmp(in, out + sector, sector) == 0);
  /* At the end: what reaches past it is cut off, what begins behind it fails. */
  CHECK_CODE(read_at(handle, size - sector, 8 * sector, sector), 0);
  CHECK_CODE(write_at(handle, size - sector, 8 * sector, sector), 0);
  CHECK_CODE(read_at(handle, size, sector, 0), 38);
  CHECK_CODE(write_at(handle, size, sector, 0), 38);
  CHECK_CODE(read_at(handle, ~0ULL - sector + 1, sector, 0), 38);
  CHECK_CODE(read_at(handle, 0, 0, 0), 0);
  /* Whole sectors only. */
  CHECK_CODE(read_at(handle, 1, sector, 0), 87);
  CHECK_CODE(read_at(handle, 0, sector - 1, 0), 87);
  CHECK_CODE(write_at(handle, sector / 2, sector, 0), 87);
  CHECK_CODE(write_at(handle, 0, sector + 1, 0), 87);
  close_handle(handle);
  /* It is all in the image. */
  handle = open_v2(name, 0, TRUE);
  CHECK_CODE(attach(handle, RAW | READ_ONLY), 0);
  CHECK_CODE(read_at(handle, 0, sizeof in, sizeof in), 0);
  CHECK(memcmp(in, out, sizeof in) == 0);
  close_handle(handle);
}

static void wrong_states_and_arguments(void) {
  HANDLE handle = open_v2("fixed.vhd", 0, FALSE);
  OVERLAPPED zero = at(0);
  CHECK_CODE(read_at(handle, 0, 512, 0), 22); /* not attached */
  CHECK_CODE(write_at(handle, 0, 512, 0), 22);
  CHECK_CODE(flush(handle), 22);
  CHECK_CODE(attach(handle, 0), 0);
  CHECK_CODE(read_at(handle, 0, 512, 0), 22); /* attached as a device */
  CHECK_CODE(detach(handle), 0);
  CHECK_CODE(attach(handle, RAW | READ_ONLY), 0);
  CHECK_CODE(attach(handle, RAW), 32);
  CHECK_CODE(attach(handle, 0), 32);
  CHECK_CODE(read_at(handle, 0, 512, 512), 0);
  CHECK_CODE(write_at(handle, 0, 512, 0), ERROR_WRITE_PROTECT);
  CHECK_CODE(flush(handle), 0);
  CHECK(ReadFile(handle, in, 512, NULL, NULL) == FALSE && GetLastError() == 87);
  CHECK(ReadFile(handle, NULL, 512, NULL, &zero) == FALSE && GetLastError() == 87);
  CHECK(WriteFile(handle, NULL, 512, NULL, &zero) == FALSE && GetLastError() == 87);
  CHECK(ReadFile(handle, in, 512, NULL, &zero) == TRUE && zero.InternalHigh == 512);
  CHECK_CODE(detach(handle), 0);
  CHECK_CODE(read_at(handle, 0, 512, 0), 22);
  CHECK_CODE(detach(handle), 1168);
  close_handle(handle);
  CHECK_CODE(read_at(handle, 0, 512, 0), 6);
  CHECK_CODE(write_at(handle, 0, 512, 0), 6);
  CHECK_CODE(flush(handle), 6);
}

static void a_restricted_range(void) {
  HANDLE handle = open_v2("fixed.vhd", 0, FALSE);
  ATTACH_VIRTUAL_DISK_PARAMETERS parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.Version = ATTACH_VIRTUAL_DISK_VERSION_2;
  parameters.Version2.RestrictedOffset = MIB;
  parameters.Version2.RestrictedLength = 1024;
  fill(9);
  CHECK_CODE(AttachVirtualDisk(handle, NULL,
                               (ATTACH_VIRTUAL_DISK_FLAG)(RAW | ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE), 0,
                               &parameters, NULL),
             0);
  CHECK_CODE(write_at(handle, 0, 4096, 1024), 0);
  CHECK_CODE(read_at(handle, 1024, 512, 0), 38);
  CHECK_CODE(detach(handle), 0);
  CHECK_CODE(attach(handle, RAW), 0);
  CHECK_CODE(read_at(handle, MIB, 1024, 1024), 0);
  CHECK(memcmp(in, out, 1024) == 0);
  close_handle(handle);
}

/* Readers share a disk, and a writer shares with nobody, each with a handle of its own (openvmm's test, 2).
 */
static void sharing(void) {
  HANDLE one = open_v2("dynamic.vhdx", 0, TRUE), two = open_v2("dynamic.vhdx", 0, TRUE), three = NULL;
  CHECK_CODE(attach(one, RAW | READ_ONLY), 0);
  CHECK_CODE(attach(two, RAW | READ_ONLY), 0);
  CHECK_CODE(read_at(one, 0, 4096, 4096), 0);
  CHECK_CODE(read_at(two, 0, 4096, 4096), 0);
  CHECK_CODE(open_as("dynamic.vhdx", v2, 0, &three), 32);
  close_handle(one);
  close_handle(two);
}

int main(int argc, char** argv) {
  if (argc > 1) image_folder = argv[1];
  /* Children first: a parent that is written to is theirs no more. */
  reads_and_writes("child.vhd", 64 * MIB, 512, OPEN_VIRTUAL_DISK_FLAG_CACHED_IO);
  reads_and_writes("child.vhdx", 1024 * MIB, 512, OPEN_VIRTUAL_DISK_FLAG_CACHED_IO);
  reads_and_writes("fixed.vhd", 4 * MIB, 512, 0);
  reads_and_writes("dynamic.vhd", 64 * MIB, 512, OPEN_VIRTUAL_DISK_FLAG_CACHED_IO);
  reads_and_writes("dynamic.vhdx", 1024 * MIB, 512, 0);
  reads_and_writes("sector4k.vhdx", 1024 * MIB, 4096, OPEN_VIRTUAL_DISK_FLAG_NO_WRITE_HARDENING);
  wrong_states_and_arguments();
  a_restricted_range();
  sharing();
  return checks_done();
}
