// SPDX-License-Identifier: Apache-2.0
/* Clients that give an OVERLAPPED, in the two manners of Windows sources: an event per request and
 * GetOverlappedResult, and no event and GetVirtualDiskOperationProgress (virtdisk-api.md 1.11, 2, 3.3, 3.10).
 * Neither relies on a call being ended when it returns. Then the rules, one by one. argv[1] is the folder
 * that make_images filled. */
#include <unistd.h>

#include "calls.h"
#include "check.h"
#include "fake_attachments.h"

#define MIB (1024ULL * 1024)
#define CHUNK ((DWORD)MIB)
static unsigned char buffers[2][1 << 20], in[1 << 20];

static OVERLAPPED request(unsigned long long offset, HANDLE event) {
  OVERLAPPED overlapped;
  memset(&overlapped, 0, sizeof overlapped);
  overlapped.Offset = (DWORD)offset;
  overlapped.OffsetHigh = (DWORD)(offset >> 32);
  overlapped.hEvent = event;
  return overlapped;
}

static DWORD create(const char* name, unsigned long long bytes, OVERLAPPED* overlapped, HANDLE* handle) {
  VIRTUAL_STORAGE_TYPE type = storage_type(VIRTUAL_STORAGE_TYPE_DEVICE_VHDX);
  CREATE_VIRTUAL_DISK_PARAMETERS parameters;
  memset(&parameters, 0, sizeof parameters);
  parameters.Version = CREATE_VIRTUAL_DISK_VERSION_2;
  parameters.Version2.MaximumSize = bytes;
  return CreateVirtualDisk(&type, image(name), VIRTUAL_DISK_ACCESS_NONE, NULL, CREATE_VIRTUAL_DISK_FLAG_NONE,
                           0, &parameters, overlapped, handle);
}

static DWORD attach_with(HANDLE handle, ULONG flags, OVERLAPPED* overlapped) {
  return AttachVirtualDisk(handle, NULL, (ATTACH_VIRTUAL_DISK_FLAG)flags, 0, NULL, overlapped);
}

static void remove_image(const char* name) {
  char path[2048];
  snprintf(path, sizeof path, "%s/%s", image_folder, name);
  unlink(path);
}

/* ---- An event per request ------------------------------------------------------------------------------ */

/* The end of a request: `started` is what the call returned. */
static DWORD wait_for_end(HANDLE disk, OVERLAPPED* overlapped, BOOL started, DWORD* moved) {
  if (!started && GetLastError() != ERROR_IO_PENDING) return GetLastError();
  if (WaitForSingleObject(overlapped->hEvent, INFINITE) != WAIT_OBJECT_0) return GetLastError();
  return GetOverlappedResult(disk, overlapped, moved, FALSE) ? ERROR_SUCCESS : GetLastError();
}

/* Copies disk to disk with two reads in flight. */
static void copy_raw(HANDLE source, HANDLE target, unsigned long long bytes, BOOL manual_reset) {
  OVERLAPPED reads[2];
  BOOL started[2];
  HANDLE write_event = CreateEvent(NULL, manual_reset, FALSE, NULL);
  for (int i = 0; i < 2; ++i) {
    reads[i] = request((unsigned long long)i * CHUNK, CreateEvent(NULL, manual_reset, FALSE, NULL));
    started[i] = ReadFile(source, buffers[i], CHUNK, NULL, &reads[i]);
  }
  for (unsigned long long at = 0; at < bytes; at += CHUNK) {
    int i = (int)(at / CHUNK % 2);
    DWORD moved = 0;
    OVERLAPPED write = request(at, write_event);
    CHECK_CODE(wait_for_end(source, &reads[i], started[i], &moved), 0);
    CHECK(moved == CHUNK);
    CHECK_CODE(wait_for_end(target, &write, WriteFile(target, buffers[i], moved, NULL, &write), &moved), 0);
    CHECK(moved == CHUNK);
    if (at + 2ULL * CHUNK < bytes) {
      HANDLE event = reads[i].hEvent;
      reads[i] = request(at + 2ULL * CHUNK, event);
      started[i] = ReadFile(source, buffers[i], CHUNK, NULL, &reads[i]);
    }
  }
  for (int i = 0; i < 2; ++i) close_handle(reads[i].hEvent);
  close_handle(write_event);
}

static void a_raw_client(BOOL manual_reset) {
  const unsigned long long bytes = 8 * MIB;
  HANDLE source = NULL, target = NULL;
  DWORD moved = 0;
  remove_image("from.vhdx");
  remove_image("to.vhdx");
  CHECK_CODE(create("from.vhdx", bytes, NULL, &source), 0);
  CHECK_CODE(create("to.vhdx", bytes, NULL, &target), 0);
  CHECK_CODE(attach(source, RAW), 0);
  CHECK_CODE(attach(target, RAW), 0);
  OVERLAPPED whole = request(MIB, NULL); /* no event: the wait is for the handle */
  for (size_t i = 0; i < sizeof in; ++i) in[i] = (unsigned char)(i / 512 + 7);
  if (!WriteFile(source, in, CHUNK, NULL, &whole)) CHECK_CODE(GetLastError(), ERROR_IO_PENDING);
  CHECK_CODE(WaitForSingleObject(source, INFINITE), WAIT_OBJECT_0);
  CHECK(GetOverlappedResult(source, &whole, &moved, TRUE) == TRUE && moved == CHUNK);
  copy_raw(source, target, bytes, manual_reset);
  CHECK_CODE(detach(source), 0);
  CHECK_CODE(detach(target), 0);
  close_handle(source);
  close_handle(target);
  /* It is all in the image. */
  target = opened("to.vhdx", v2_read_only);
  CHECK_CODE(attach(target, RAW | READ_ONLY), 0);
  OVERLAPPED again = request(MIB, NULL);
  CHECK(ReadFile(target, buffers[0], CHUNK, &moved, &again) == TRUE && moved == CHUNK);
  CHECK(memcmp(buffers[0], in, sizeof in) == 0);
  close_handle(target);
}

/* ---- No event, and looking at the progress ------------------------------------------------------------- */

static DWORD poll_to_end(HANDLE handle, OVERLAPPED* overlapped, DWORD code) {
  VIRTUAL_DISK_PROGRESS progress;
  if (code != ERROR_SUCCESS && code != ERROR_IO_PENDING) return code;
  for (;;) {
    memset(&progress, 0, sizeof progress);
    code = GetVirtualDiskOperationProgress(handle, overlapped, &progress);
    if (code != ERROR_SUCCESS) return code;
    CHECK(progress.CompletionValue != 0);
    CHECK(100 * progress.CurrentValue / progress.CompletionValue <= 100);
    if (progress.OperationStatus != ERROR_IO_PENDING) return progress.OperationStatus;
    Sleep(10);
  }
}

static void a_polling_client(void) {
  OVERLAPPED making = request(0, NULL), attaching = request(0, NULL);
  HANDLE handle = INVALID_HANDLE_VALUE;
  remove_image("polled.vhdx");
  CHECK_CODE(poll_to_end(handle, &making, create("polled.vhdx", 8 * MIB, &making, &handle)), 0);
  CHECK(handle != INVALID_HANDLE_VALUE);
  CHECK_CODE(poll_to_end(handle, &attaching, attach_with(handle, 0, &attaching)), 0);
  CHECK(fake_count() == 1);
  CHECK_CODE(poll_to_end(handle, &making, 0), 0); /* each is known by its own structure */
  CHECK_CODE(detach(handle), 0);
  close_handle(handle);
}

/* ---- The rules ----------------------------------------------------------------------------------------- */

/* The event is reset at the start, and set after success alone. */
static void what_becomes_of_the_event(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  HANDLE manual = CreateEvent(NULL, TRUE, TRUE, NULL), automatic = CreateEvent(NULL, FALSE, FALSE, NULL);
  OVERLAPPED one = request(0, manual), two = request(512, automatic);
  DWORD moved = 77;
  CHECK(ReadFile(handle, in, 512, NULL, &one) == FALSE && GetLastError() == 22); /* not attached yet */
  CHECK_CODE(WaitForSingleObject(manual, 0), WAIT_TIMEOUT);
  CHECK(GetOverlappedResult(handle, &one, &moved, TRUE) == FALSE && GetLastError() == 22 && moved == 0);
  CHECK_CODE(attach_with(handle, RAW, &one), 0);
  CHECK_CODE(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
  CHECK_CODE(WaitForSingleObject(manual, 0), WAIT_OBJECT_0);
  CHECK(GetOverlappedResult(handle, &one, &moved, TRUE) == TRUE && moved == 0);
  CHECK(ReadFile(handle, in, 512, NULL, &two) == TRUE);
  CHECK_CODE(WaitForSingleObject(automatic, 0), WAIT_OBJECT_0);
  CHECK_CODE(WaitForSingleObject(automatic, 0), WAIT_TIMEOUT);
  CHECK(GetOverlappedResult(handle, &two, &moved, TRUE) == TRUE && moved == 512);
  CHECK(WriteFile(handle, in, 512, NULL, &two) == TRUE);
  CHECK(ReadFile(handle, in, 512, NULL, &one) == TRUE);
  {
    HANDLE both[2] = {manual, automatic};
    CHECK_CODE(WaitForMultipleObjects(2, both, TRUE, 0), WAIT_OBJECT_0);
  }
  CHECK_CODE(attach_with(handle, RAW, &one), 32);
  CHECK_CODE(WaitForSingleObject(manual, 0), WAIT_TIMEOUT);
  one.Offset = 1;
  CHECK(ReadFile(handle, in, 512, NULL, &one) == FALSE && GetLastError() == 87);
  CHECK(GetOverlappedResult(handle, &one, &moved, FALSE) == FALSE && GetLastError() == 87 && moved == 0);
  close_handle(handle);
  /* The result is in the structure, whatever became of the handle. */
  CHECK(GetOverlappedResult(handle, &two, &moved, TRUE) == TRUE && moved == 512);
  close_handle(manual);
  close_handle(automatic);
}

/* An hEvent that is no event fails the call before it does anything. */
static void wrong_events(void) {
  HANDLE handle = opened("fixed.vhd", v2), closed = CreateEvent(NULL, TRUE, TRUE, NULL), made = SENTINEL;
  HANDLE wrong[3];
  close_handle(closed);
  wrong[0] = closed;
  wrong[1] = handle; /* a disk is none */
  wrong[2] = INVALID_HANDLE_VALUE;
  remove_image("never.vhdx");
  for (int i = 0; i < 3; ++i) {
    OVERLAPPED overlapped = request(0, wrong[i]);
    DWORD moved = 77;
    CHECK_CODE(attach_with(handle, RAW, &overlapped), ERROR_INVALID_HANDLE);
    CHECK(HasOverlappedIoCompleted(&overlapped));
    CHECK(ReadFile(handle, in, 512, &moved, &overlapped) == FALSE);
    CHECK(GetLastError() == ERROR_INVALID_HANDLE && moved == 0);
    CHECK_CODE(create("never.vhdx", 8 * MIB, &overlapped, &made), ERROR_INVALID_HANDLE);
    CHECK(made == SENTINEL);
    CHECK_CODE(open_as("never.vhdx", v2, 0, &made), ERROR_FILE_NOT_FOUND);
    made = SENTINEL;
  }
  CHECK_CODE(detach(handle), 1168); /* the disk was never attached */
  close_handle(handle);
}

static DWORD result(HANDLE handle, OVERLAPPED* overlapped, DWORD* moved, BOOL wait) {
  SetLastError(0);
  return GetOverlappedResult(handle, overlapped, moved, wait) ? 0 : GetLastError();
}

static void results(void) {
  HANDLE handle = opened("fixed.vhd", v2);
  OVERLAPPED never = request(0, NULL);
  DWORD moved = 77;
  CHECK_CODE(result(handle, NULL, &moved, FALSE), 87);
  CHECK_CODE(result(handle, &never, NULL, FALSE), 87);
  never.Internal = STATUS_PENDING; /* as if a call had started it */
  CHECK(!HasOverlappedIoCompleted(&never));
  CHECK_CODE(result(handle, &never, &moved, FALSE), ERROR_IO_INCOMPLETE);
  CHECK_CODE(result(handle, &never, &moved, TRUE), ERROR_IO_INCOMPLETE);
  CHECK(moved == 77);
  /* The codes of virtual disks come through as they are. */
  CHECK_CODE(attach_with(handle, RAW | PERMANENT, &never), 50);
  CHECK_CODE(result(handle, &never, &moved, FALSE), 50);
  never.Internal = 0xC03A001A;
  CHECK_CODE(result(handle, &never, &moved, FALSE), ERROR_VIRTUAL_DISK_LIMITATION);
  close_handle(handle);
  never.Internal = STATUS_PENDING;
  CHECK_CODE(result(handle, &never, &moved, TRUE), ERROR_INVALID_HANDLE);
}

static void progress(void) {
  HANDLE handle = opened("fixed.vhd", v2), other = NULL;
  OVERLAPPED one = request(0, NULL), two = request(0, NULL), many[65];
  VIRTUAL_DISK_PROGRESS answer;
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, NULL, &answer), 87);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &one, NULL), 87);
  CHECK_CODE(GetVirtualDiskOperationProgress(NULL, NULL, &answer), 87);
  CHECK_CODE(GetVirtualDiskOperationProgress(NULL, &one, &answer), 6);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &one, &answer), 1168);
  /* The end of each is remembered, also when it failed. */
  CHECK_CODE(attach_with(handle, RAW, &one), 0);
  CHECK_CODE(attach_with(handle, RAW, &two), 32);
  for (int times = 0; times < 2; ++times) {
    CHECK_CODE(GetVirtualDiskOperationProgress(handle, &one, &answer), 0);
    CHECK(answer.OperationStatus == 0 && answer.CurrentValue == answer.CompletionValue);
    CHECK_CODE(GetVirtualDiskOperationProgress(handle, &two, &answer), 0);
    CHECK(answer.OperationStatus == 32 && answer.CompletionValue != 0);
  }
  /* On this handle only, and until the structure is used again; reads and writes are not remembered. */
  other = opened("dynamic.vhd", v2);
  CHECK_CODE(GetVirtualDiskOperationProgress(other, &one, &answer), 1168);
  close_handle(other);
  CHECK_CODE(attach_with(handle, RAW, &one), 32);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &one, &answer), 0);
  CHECK(answer.OperationStatus == 32);
  CHECK(ReadFile(handle, in, 512, NULL, &one) == TRUE);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &one, &answer), 1168);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &two, &answer), 0);
  /* The last 64. */
  for (int i = 0; i < 65; ++i) {
    many[i] = request(0, NULL);
    CHECK_CODE(attach_with(handle, RAW, &many[i]), 32);
  }
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &two, &answer), 1168);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &many[0], &answer), 1168);
  for (int i = 1; i < 65; ++i) CHECK_CODE(GetVirtualDiskOperationProgress(handle, &many[i], &answer), 0);
  close_handle(handle);
  CHECK_CODE(GetVirtualDiskOperationProgress(handle, &many[1], &answer), 6);
}

static void nothing_to_cancel(void) {
  HANDLE handle = opened("fixed.vhd", v2), event = CreateEvent(NULL, TRUE, FALSE, NULL);
  OVERLAPPED overlapped = request(0, NULL);
  CHECK_CODE(attach_with(handle, RAW, &overlapped), 0);
  CHECK(CancelIo(handle) == TRUE);
  CHECK(CancelIoEx(handle, &overlapped) == FALSE && GetLastError() == ERROR_NOT_FOUND);
  CHECK(CancelIoEx(handle, NULL) == FALSE && GetLastError() == ERROR_NOT_FOUND);
  CHECK_CODE(WaitForSingleObject(handle, 0), WAIT_OBJECT_0);
  close_handle(handle);
  CHECK(CancelIo(handle) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  CHECK(CancelIoEx(event, NULL) == FALSE && GetLastError() == ERROR_INVALID_HANDLE);
  CHECK_CODE(WaitForSingleObject(handle, 0), WAIT_FAILED);
  close_handle(event);
}

int main(int argc, char** argv) {
  if (argc > 1) image_folder = argv[1];
  a_raw_client(TRUE);
  a_raw_client(FALSE);
  a_polling_client();
  what_becomes_of_the_event();
  wrong_events();
  results();
  progress();
  nothing_to_cancel();
  return checks_done();
}
