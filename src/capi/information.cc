// SPDX-License-Identifier: Apache-2.0
//
// GetVirtualDiskInformation: one row per class, with the size that it needs and the function that fills it
// (virtdisk-api.md 3.8, 5). The caller's size variable is changed only when the buffer is too small (1.4).
#include <virtdisk.h>

#include <cstring>
#include <iterator>

#include "base/fault.h"
#include "capi/faults.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/wide.h"
#include "io/host_disk.h"

namespace vdisk::capi {

namespace {

constexpr std::size_t kHead = offsetof(GET_VIRTUAL_DISK_INFO, Size);
constexpr ULONG kNullStorageDevice = VIRTUAL_STORAGE_TYPE_DEVICE_UNKNOWN;

GUID to_win32(const Guid& guid) noexcept {
  GUID out;
  static_assert(sizeof out == sizeof guid.bytes);
  const auto& b = guid.bytes;
  out.Data1 = b[0] | (b[1] << 8) | (b[2] << 16) | (static_cast<std::uint32_t>(b[3]) << 24);
  out.Data2 = static_cast<std::uint16_t>(b[4] | (b[5] << 8));
  out.Data3 = static_cast<std::uint16_t>(b[6] | (b[7] << 8));
  std::memcpy(out.Data4, b.data() + 8, 8);
  return out;
}

/// One query: the handle, what is known of the image, and where the answer goes.
struct Query {
  const OpenHandle& handle;
  const Disk* disk;  // null for BLANK_FILE, and for classes that are not of the image
  const ImageInfo& info;
  GET_VIRTUAL_DISK_INFO& out;  // at least `needed` bytes, aligned
  std::wstring text;           // of the classes that end in text
};

const ImageInfo::Parent* parent_of(const Query& query) {
  return query.info.parent ? &*query.info.parent : nullptr;
}

Status need_disk(const Query& query) {
  if (query.disk != nullptr) return {};
  return fail(faults::kBlank, "{}: opened with BLANK_FILE, there is no image to ask", query.handle.path);
}

Status need_parent(const Query& query) {
  VDISK_TRY(need_disk(query));
  if (parent_of(query) != nullptr) return {};
  return fail(faults::kNotDifferencing, "{}: a {} disk has no parent", query.handle.path,
              to_string(query.disk->type()));
}

Status fill_size(Query& query) {
  query.out.Size.VirtualSize = query.info.virtual_size_bytes.value_or(0);
  query.out.Size.PhysicalSize = query.info.file_size_bytes.value_or(0);
  // A fixed VHD reports no block size (3.8); other formats report what they record.
  query.out.Size.BlockSize = query.info.block_size_bytes.value_or(0);
  query.out.Size.SectorSize = query.info.logical_sector_bytes.value_or(512);
  return {};
}

Status fill_identifier(Query& query) {
  VDISK_TRY(need_disk(query));
  query.out.Identifier = to_win32(query.info.identifier.value_or(Guid{}));
  return {};
}

Status fill_parent_location(Query& query) {
  VDISK_TRY(need_parent(query));
  query.out.ParentLocation.ParentResolved = parent_of(query)->resolved ? TRUE : FALSE;
  return {};
}

Status fill_parent_identifier(Query& query) {
  VDISK_TRY(need_parent(query));
  query.out.ParentIdentifier = to_win32(parent_of(query)->identifier.value_or(Guid{}));
  return {};
}

Status fill_parent_timestamp(Query& query) {
  VDISK_TRY(need_parent(query));
  query.out.ParentTimestamp = parent_of(query)->locator.timestamp.value_or(0);
  return {};
}

Status fill_storage_type(Query& query) {
  query.out.VirtualStorageType.DeviceId =
      query.handle.format == FormatId::kRaw ? kNullStorageDevice : static_cast<ULONG>(query.handle.format);
  query.out.VirtualStorageType.VendorId = VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT;
  return {};
}

Status fill_subtype(Query& query) {
  VDISK_TRY(need_disk(query));
  query.out.ProviderSubtype = static_cast<ULONG>(query.disk->type());
  return {};
}

Status fill_is_4k_aligned(Query& query) {
  VDISK_TRY(need_disk(query));
  query.out.Is4kAligned = query.info.payload_4k_aligned.value_or(true) ? TRUE : FALSE;
  return {};
}

Status fill_is_loaded(Query& query) {
  query.out.IsLoaded = VDISK_TRY(query.handle.attached()) ? TRUE : FALSE;
  return {};
}

Status fill_physical_disk(Query& query) {
  const HostDisk host = host_disk_of(query.handle.path);
  query.out.PhysicalDisk.LogicalSectorSize = host.logical_sector_bytes;
  query.out.PhysicalDisk.PhysicalSectorSize = host.physical_sector_bytes;
  query.out.PhysicalDisk.IsRemote = host.remote ? TRUE : FALSE;
  return {};
}

Status fill_vhd_physical_sector(Query& query) {
  VDISK_TRY(need_disk(query));
  query.out.VhdPhysicalSectorSize = query.info.physical_sector_bytes.value_or(512);
  return {};
}

Status fill_smallest_safe_size(Query& query) {
  VDISK_TRY(need_disk(query));
  return fail(faults::kNoMinimumSize,
              "{}: the partitions are not examined yet, so no size is known to be safe", query.handle.path);
}

// Discontinuities between neighbouring stretches of payload, in per cent of the stretches that could join.
// Windows' own formula is not public (unverified).
Status fill_fragmentation(Query& query) {
  VDISK_TRY(need_disk(query));
  const Disk& disk = *query.disk;
  std::uint64_t pieces = 0;
  std::uint64_t breaks = 0;
  std::uint64_t end_in_file = 0;
  for (std::uint64_t at = 0; at < disk.geometry().virtual_size_bytes;) {
    std::vector<Extent> extents;
    at += VDISK_TRY(disk.extents({DiskOffset{at}, disk.geometry().virtual_size_bytes - at}, extents));
    for (const Extent& extent : extents) {
      if (extent.source != Extent::Source::kData || extent.layer != 0) continue;
      if (pieces++ != 0 && extent.from.bytes != end_in_file) ++breaks;
      end_in_file = extent.from.bytes + extent.range.length;
    }
  }
  const std::uint64_t block = std::max<std::uint64_t>(disk.geometry().block_bytes, 1);
  const std::uint64_t blocks = std::max<std::uint64_t>(query.info.allocated_bytes.value_or(0) / block, 1);
  query.out.FragmentationPercentage = static_cast<ULONG>(std::min<std::uint64_t>(100, breaks * 100 / blocks));
  return {};
}

Status fill_virtual_disk_id(Query& query) {
  VDISK_TRY(need_disk(query));
  query.out.VirtualDiskId = to_win32(query.info.virtual_disk_id.value_or(Guid{}));
  return {};
}

Status fill_change_tracking(Query& query) {
  query.out.ChangeTrackingState.Enabled = FALSE;
  query.out.ChangeTrackingState.NewerChanges = FALSE;
  return {};
}

// The text behind ParentLocationBuffer: one path when the parent is known, else every candidate (MULTI_SZ).
std::wstring parent_location_text(const ImageInfo& info) {
  std::wstring text;
  if (!info.parent) return text;
  const auto add = [&text](std::string_view path) {
    text += to_wide(path);
    text += L'\0';
  };
  if (info.parent->resolved) {
    add(info.parent->path);
    return text;
  }
  for (const std::string& candidate : info.parent->candidates) add(candidate);
  if (info.parent->candidates.empty()) {
    for (const ParentCandidate& candidate : info.parent->locator.candidates) add(candidate.recorded);
  }
  text += L'\0';
  return text;
}

struct Class {
  ULONG version;
  std::size_t needed;       // bytes, the text apart
  std::size_t text_offset;  // 0: no text
  std::wstring (*text)(const ImageInfo&);
  Status (*fill)(Query&);
  bool of_image = true;  // false: can be told without a look at the image
};

#define VDISK_MEMBER(member) (offsetof(GET_VIRTUAL_DISK_INFO, member) + sizeof(GET_VIRTUAL_DISK_INFO::member))

constexpr std::size_t kSizeEnd = kHead + sizeof(decltype(GET_VIRTUAL_DISK_INFO::Size));
constexpr bool kNotOfImage = false;

constexpr Class kClasses[] = {
    {GET_VIRTUAL_DISK_INFO_SIZE, kSizeEnd, 0, nullptr, fill_size},
    {GET_VIRTUAL_DISK_INFO_IDENTIFIER, VDISK_MEMBER(Identifier), 0, nullptr, fill_identifier},
    {GET_VIRTUAL_DISK_INFO_PARENT_LOCATION, 0,
     offsetof(GET_VIRTUAL_DISK_INFO, ParentLocation.ParentLocationBuffer), parent_location_text,
     fill_parent_location},
    {GET_VIRTUAL_DISK_INFO_PARENT_IDENTIFIER, VDISK_MEMBER(ParentIdentifier), 0, nullptr,
     fill_parent_identifier},
    {GET_VIRTUAL_DISK_INFO_PARENT_TIMESTAMP, VDISK_MEMBER(ParentTimestamp), 0, nullptr,
     fill_parent_timestamp},
    {GET_VIRTUAL_DISK_INFO_VIRTUAL_STORAGE_TYPE, VDISK_MEMBER(VirtualStorageType), 0, nullptr,
     fill_storage_type, kNotOfImage},
    {GET_VIRTUAL_DISK_INFO_PROVIDER_SUBTYPE, VDISK_MEMBER(ProviderSubtype), 0, nullptr, fill_subtype},
    {GET_VIRTUAL_DISK_INFO_IS_4K_ALIGNED, VDISK_MEMBER(Is4kAligned), 0, nullptr, fill_is_4k_aligned},
    {GET_VIRTUAL_DISK_INFO_PHYSICAL_DISK, VDISK_MEMBER(PhysicalDisk), 0, nullptr, fill_physical_disk,
     kNotOfImage},
    {GET_VIRTUAL_DISK_INFO_VHD_PHYSICAL_SECTOR_SIZE, VDISK_MEMBER(VhdPhysicalSectorSize), 0, nullptr,
     fill_vhd_physical_sector},
    {GET_VIRTUAL_DISK_INFO_SMALLEST_SAFE_VIRTUAL_SIZE, VDISK_MEMBER(SmallestSafeVirtualSize), 0, nullptr,
     fill_smallest_safe_size},
    {GET_VIRTUAL_DISK_INFO_FRAGMENTATION, VDISK_MEMBER(FragmentationPercentage), 0, nullptr,
     fill_fragmentation},
    {GET_VIRTUAL_DISK_INFO_IS_LOADED, VDISK_MEMBER(IsLoaded), 0, nullptr, fill_is_loaded, kNotOfImage},
    {GET_VIRTUAL_DISK_INFO_VIRTUAL_DISK_ID, VDISK_MEMBER(VirtualDiskId), 0, nullptr, fill_virtual_disk_id},
    {GET_VIRTUAL_DISK_INFO_CHANGE_TRACKING_STATE, 0,
     offsetof(GET_VIRTUAL_DISK_INFO, ChangeTrackingState.MostRecentId),
     [](const ImageInfo&) { return std::wstring(1, L'\0'); }, fill_change_tracking, kNotOfImage},
};

const Class* find_class(ULONG version) noexcept {
  for (const Class& row : kClasses) {
    if (row.version == version) return &row;
  }
  return nullptr;
}

// Tells how large the buffer must be and whether it is; the caller's size changes only when it is not.
Status check_buffer(std::size_t needed, ULONG* size) {
  if (*size >= needed) return {};
  const ULONG given = *size;
  *size = static_cast<ULONG>(needed);
  return fail(faults::kBufferSize, "this class of information needs {} bytes, the buffer has {}", needed,
              given);
}

/// Where the answer goes.
struct Buffer {
  ULONG* size;
  GET_VIRTUAL_DISK_INFO* start;
  ULONG* size_used;
};

// `disk` as in Query.
Status answer(const Class& row, const OpenHandle& handle, const Disk* disk, const Buffer& buffer) {
  ImageInfo info;
  if (disk != nullptr) {
    info = VDISK_TRY(disk->info());
  } else {
    info.file_size_bytes = host_file_size(handle.path);
  }
  GET_VIRTUAL_DISK_INFO answer{};  // filled apart: a class that fails leaves the caller's buffer alone
  Query query{.handle = handle, .disk = disk, .info = info, .out = answer, .text = {}};
  VDISK_TRY(row.fill(query));
  std::size_t needed = row.needed;
  if (row.text != nullptr) {
    query.text = row.text(info);
    needed = row.text_offset + query.text.size() * sizeof(WCHAR);
    VDISK_TRY(check_buffer(needed, buffer.size));
  }
  auto* out = reinterpret_cast<unsigned char*>(buffer.start);  // NOLINT: the buffer is bytes past its head
  const auto* from = reinterpret_cast<const unsigned char*>(&answer);  // NOLINT
  const std::size_t fixed_end = row.text != nullptr ? row.text_offset : needed;
  std::memcpy(out + kHead, from + kHead, fixed_end - kHead);
  if (row.text != nullptr)
    std::memcpy(out + row.text_offset, query.text.data(), query.text.size() * sizeof(WCHAR));
  if (buffer.size_used != nullptr) *buffer.size_used = static_cast<ULONG>(needed);
  return {};
}

Status get_information(HANDLE handle, const Buffer& buffer) {
  const auto object = VDISK_TRY(open_handle(handle));
  if (buffer.size == nullptr || buffer.start == nullptr) {
    return fail(faults::kInfoArguments, "VirtualDiskInfoSize and VirtualDiskInfo must not be NULL");
  }
  VDISK_TRY(need_right(*object, VIRTUAL_DISK_ACCESS_GET_INFO, "VIRTUAL_DISK_ACCESS_GET_INFO"));
  if (*buffer.size < sizeof(buffer.start->Version))
    VDISK_TRY(check_buffer(sizeof(GET_VIRTUAL_DISK_INFO), buffer.size));
  const Class* row = find_class(buffer.start->Version);
  if (row == nullptr) {
    return fail(faults::kInfoArguments, "GET_VIRTUAL_DISK_INFO version {} is unknown",
                static_cast<ULONG>(buffer.start->Version));
  }
  // Cheap before dear: a class of fixed size needs no look at the image to refuse a small buffer.
  if (row->text == nullptr) VDISK_TRY(check_buffer(row->needed, buffer.size));
  if (object->blank != nullptr || !row->of_image) return answer(*row, *object, nullptr, buffer);
  return object->look([&](const Disk& disk) { return answer(*row, *object, &disk, buffer); });
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI GetVirtualDiskInformation(HANDLE VirtualDiskHandle, PULONG VirtualDiskInfoSize,
                                       PGET_VIRTUAL_DISK_INFO VirtualDiskInfo, PULONG SizeUsed) {
  return vdisk::capi::api_call([&] {
    return vdisk::capi::get_information(VirtualDiskHandle, {VirtualDiskInfoSize, VirtualDiskInfo, SizeUsed});
  });
}
