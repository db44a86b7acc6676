// SPDX-License-Identifier: Apache-2.0
//
// ReadFile, WriteFile and FlushFileBuffers on the handle of a disk that is attached with NO_LOCAL_HOST
// (virtdisk-api.md 3.3).
#include <virtdisk.h>

#include <algorithm>
#include <span>

#include "base/checked.h"
#include "capi/faults.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/overlapped.h"

namespace vdisk::capi {

namespace {

struct Transfer {
  void* buffer;
  DWORD length;
  const OVERLAPPED* overlapped;
};

/// The part of the disk that a transfer means, cut off at the end of what is attached.
Result<DiskRange> range_of(const Transfer& transfer, const OpenHandle& handle, const Disk& disk,
                           DiskRange attached) {
  if (transfer.overlapped == nullptr || (transfer.buffer == nullptr && transfer.length != 0)) {
    return fail(faults::kRawArguments,
                "{}: a transfer needs a buffer, and an OVERLAPPED that holds its offset", handle.path);
  }
  const std::uint64_t at = transfer.overlapped->Offset | std::uint64_t{transfer.overlapped->OffsetHigh} << 32;
  const std::uint32_t sector = disk.geometry().logical_sector_bytes;
  if (!is_multiple(at, sector) || !is_multiple(transfer.length, sector)) {
    return fail(faults::kRawArguments, "{}: {} bytes at {:#x} are not whole sectors of {} bytes", handle.path,
                transfer.length, at, sector);
  }
  if (at >= attached.length) {
    return fail(faults::kRawEnd, "{}: {:#x} lies behind the last byte, {:#x}", handle.path, at,
                attached.length - 1);
  }
  return DiskRange{DiskOffset{attached.at.bytes + at},
                   std::min<std::uint64_t>(transfer.length, attached.length - at)};
}

Status read_raw(HANDLE handle, const Transfer& transfer, OverlappedCall& call) {
  const auto object = VDISK_TRY(open_handle(handle));
  call.runs_on(object);
  return object->use_raw([&](const Disk& disk, const RawAttachment& raw) -> Status {
    const DiskRange range = VDISK_TRY(range_of(transfer, *object, disk, raw.range));
    VDISK_TRY(disk.read(range.at, {static_cast<std::byte*>(transfer.buffer), range.length}));
    call.bytes_moved = range.length;
    return {};
  });
}

// Windows opens the file uncached and written through unless it is told otherwise (3.1), so a write that
// returned is on stable storage.
bool writes_through(const OpenHandle& handle) noexcept {
  return (handle.open_flags &
          (OPEN_VIRTUAL_DISK_FLAG_CACHED_IO | OPEN_VIRTUAL_DISK_FLAG_NO_WRITE_HARDENING)) == 0;
}

Status write_raw(HANDLE handle, const Transfer& transfer, OverlappedCall& call) {
  const auto object = VDISK_TRY(open_handle(handle));
  call.runs_on(object);
  return object->use_raw([&](const Disk& disk, const RawAttachment& raw) -> Status {
    const DiskRange range = VDISK_TRY(range_of(transfer, *object, disk, raw.range));
    if (raw.read_only) {
      return fail(faults::kRawReadOnly, "{}: is attached with ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY",
                  object->path);
    }
    VDISK_TRY(disk.write(range.at, {static_cast<const std::byte*>(transfer.buffer), range.length}));
    if (writes_through(*object)) VDISK_TRY(disk.flush());
    call.bytes_moved = range.length;
    return {};
  });
}

Status flush_raw(HANDLE handle) {
  const auto object = VDISK_TRY(open_handle(handle));
  return object->use_raw([](const Disk& disk, const RawAttachment&) { return disk.flush(); });
}

template <class Move>
BOOL transfer(Move&& move, DWORD* count, OVERLAPPED* overlapped) noexcept {
  OverlappedCall call(overlapped, OverlappedCall::Kind::kTransfer);
  const DWORD code = call.run([&] { return move(call); });
  if (count != nullptr) *count = static_cast<DWORD>(call.bytes_moved);
  return bool_of(code);
}

}  // namespace

}  // namespace vdisk::capi

BOOL ReadFile(HANDLE hFile, LPVOID lpBuffer, DWORD nNumberOfBytesToRead, LPDWORD lpNumberOfBytesRead,
              LPOVERLAPPED lpOverlapped) {
  return vdisk::capi::transfer(
      [&](vdisk::capi::OverlappedCall& call) {
        return vdisk::capi::read_raw(hFile, {lpBuffer, nNumberOfBytesToRead, lpOverlapped}, call);
      },
      lpNumberOfBytesRead, lpOverlapped);
}

BOOL WriteFile(HANDLE hFile, LPCVOID lpBuffer, DWORD nNumberOfBytesToWrite, LPDWORD lpNumberOfBytesWritten,
               LPOVERLAPPED lpOverlapped) {
  return vdisk::capi::transfer(
      [&](vdisk::capi::OverlappedCall& call) {
        return vdisk::capi::write_raw(
            hFile,
            {const_cast<void*>(lpBuffer), nNumberOfBytesToWrite, lpOverlapped},  // NOLINT: only read from
            call);
      },
      lpNumberOfBytesWritten, lpOverlapped);
}

BOOL FlushFileBuffers(HANDLE hFile) {
  return vdisk::capi::bool_of(vdisk::capi::api_call([&] { return vdisk::capi::flush_raw(hFile); }));
}
