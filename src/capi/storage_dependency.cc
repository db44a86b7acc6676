// SPDX-License-Identifier: Apache-2.0
//
// GetStorageDependencyInformation (virtdisk-api.md 3.7). A volume of Windows is a mounted file system here,
// named by its mount point; a disk is a block device, named by its node.
#include <virtdisk.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "capi/attachment_service.h"
#include "capi/faults.h"
#include "capi/host_object.h"
#include "capi/last_error.h"
#include "capi/open_handle.h"
#include "capi/wide.h"
#include "disk/impl.h"
#include "io/host_disk.h"
#include "io/host_volume.h"

namespace vdisk::capi {

namespace {

/// One entry: one image file of one attached disk.
struct Dependency {
  std::uint32_t flags = 0;
  FormatId format = FormatId::kRaw;
  ULONG ancestor_level = 0;
  std::string device;
  std::string host_volume;
  std::string dependent_volume;
  std::string relative_path;
};

/// A disk made of images, as an attachment or a handle knows it.
struct VirtualDisk {
  std::string path;
  std::string device_node;  ///< "" where it is not attached as a device.
  std::vector<std::string> partitions;
  std::uint32_t flags = 0;  ///< Of the attachment.
  OpenOptions options;      ///< To find the chain with.
  FormatId format = FormatId::kRaw;
};

VirtualDisk disk_of(const AttachmentInfo& info) {
  VirtualDisk disk{.path = info.image_path,
                   .device_node = info.device_node,
                   .partitions = info.partitions,
                   .flags = 0,
                   .options = {},
                   .format = info.format};
  disk.options.parents = ParentSearch::from_environment();
  if (info.format != FormatId::kRaw) disk.options.format = info.format;
  if (info.read_only) disk.flags |= DEPENDENT_DISK_FLAG_READ_ONLY;
  if (info.permanent) disk.flags |= DEPENDENT_DISK_FLAG_PERMANENT_LIFETIME;
  return disk;
}

bool is_device_of(const VirtualDisk& disk, const std::string& node) {
  return disk.device_node == node || std::ranges::find(disk.partitions, node) != disk.partitions.end();
}

/// Where the disk, or a partition of it, is mounted; "" if nowhere.
std::string volume_on(const VirtualDisk& disk) {
  for (const MountEntry& mount : current_mounts()) {
    if (is_device_of(disk, mount.source)) return mount.mount_point;
  }
  return {};
}

struct ImageFile {
  std::string path;
  FormatId format;
  DiskType type;
};

// Leaf first. A chain that cannot be followed from here ends with its leaf.
std::vector<ImageFile> files_of(const VirtualDisk& disk) {
  OpenOptions how = disk.options;
  how.writable = false;
  how.lock = LockMode::kNone;
  const auto opened = Disk::open(disk.path, how);
  if (!opened) return {{disk.path, disk.format, DiskType::kDynamic}};
  std::vector<ImageFile> files;
  const Chain& chain = opened->impl().chain;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Layer& layer = chain.layer(i);
    files.push_back({layer.path, layer.image->format().id, layer.image->properties().type});
  }
  return files;
}

// Mount point and the path below it, whose concatenation is the file; as Windows splits it into volume and
// path.
void split_path(const std::string& named, Dependency& into) {
  std::error_code error;
  const auto real = std::filesystem::canonical(named, error);
  const std::string path = error ? named : real.string();
  into.relative_path = path;
  const auto mount = mount_of(path);
  if (!mount) return;
  into.host_volume = mount->mount_point;
  if (into.host_volume == "/") into.flags |= DEPENDENT_DISK_FLAG_SYSTEM_VOLUME_PARENT;
  if (into.host_volume != "/" && path.starts_with(into.host_volume + "/"))
    into.relative_path = path.substr(into.host_volume.size());
}

/// What `disk` lies on: its image files, leaf first, as far as `wanted` takes them. The base has level 0.
void add_dependencies(const VirtualDisk& disk, const std::function<bool(const std::string& file)>& wanted,
                      std::vector<Dependency>& into) {
  const std::vector<ImageFile> files = files_of(disk);
  const std::string volume = volume_on(disk);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!wanted(files[i].path)) continue;
    Dependency entry{.flags = disk.flags,
                     .format = files[i].format,
                     .ancestor_level = static_cast<ULONG>(files.size() - 1 - i),
                     .device = disk.device_node,
                     .host_volume = {},
                     .dependent_volume = volume,
                     .relative_path = {}};
    const HostDisk host = host_disk_of(files[i].path);
    if (files.size() > 1) entry.flags |= DEPENDENT_DISK_FLAG_MULT_BACKING_FILES;
    if (files[i].type == DiskType::kFixed) entry.flags |= DEPENDENT_DISK_FLAG_FULLY_ALLOCATED;
    if (i > 0) entry.flags |= DEPENDENT_DISK_FLAG_PARENT | DEPENDENT_DISK_FLAG_READ_ONLY;
    if (host.remote) entry.flags |= DEPENDENT_DISK_FLAG_REMOTE;
    if (host.removable) entry.flags |= DEPENDENT_DISK_FLAG_REMOVABLE;
    if (volume == "/") entry.flags |= DEPENDENT_DISK_FLAG_SYSTEM_VOLUME;
    split_path(files[i].path, entry);
    into.push_back(std::move(entry));
  }
}

bool any_file(const std::string&) { return true; }

Result<std::vector<Dependency>> what_it_lies_on(const OpenHandle& handle) {
  VirtualDisk disk;
  if (const auto attachment = VDISK_TRY(handle.attachment())) {
    disk = disk_of(*attachment);
  } else if (VDISK_TRY(handle.attached())) {
    disk.flags |= DEPENDENT_DISK_FLAG_NO_HOST_DISK;
  }
  disk.path = handle.path;
  disk.format = handle.format;
  disk.options = handle.options;
  std::vector<Dependency> entries;
  add_dependencies(disk, any_file, entries);
  return entries;
}

Result<std::vector<Dependency>> what_it_lies_on(const HostObject& object) {
  std::vector<Dependency> entries;
  const auto node = block_node_of(object.path());
  for (const AttachmentInfo& info : VDISK_TRY(attachment_service().attachments())) {
    const VirtualDisk disk = disk_of(info);
    if (node && is_device_of(disk, *node)) add_dependencies(disk, any_file, entries);
  }
  if (!entries.empty()) return entries;
  return fail(faults::kDependencyNone, "{}: lies on {}, which is no virtual disk that is attached",
              object.name(), node.value_or("no block device"));
}

/// The images that lie on the file systems of `node`: a partition, or a disk with all its partitions.
Result<std::vector<Dependency>> what_lies_on(const std::string& node) {
  std::vector<Dependency> entries;
  const auto on_it = [&](const std::string& file) {
    const auto lies_on = block_node_of(file);
    return lies_on && (*lies_on == node || whole_disk_of(*lies_on) == node);
  };
  for (const AttachmentInfo& info : VDISK_TRY(attachment_service().attachments())) {
    add_dependencies(disk_of(info), on_it, entries);
  }
  return entries;
}

Result<std::vector<Dependency>> dependencies(HANDLE handle, bool host_volumes) {
  if (const auto disk = find_object<OpenHandle>(handle)) {
    if (host_volumes) return what_it_lies_on(*disk);
    const auto attachment = VDISK_TRY(disk->attachment());
    if (!attachment) return std::vector<Dependency>();
    return what_lies_on(attachment->device_node);
  }
  const auto object = find_object<HostObject>(handle);
  if (object == nullptr) return fail(faults::kHandle, "handle {} is not open", fmt::ptr(handle));
  if (host_volumes) return what_it_lies_on(*object);
  const auto node = block_node_of(object->path());
  if (!node) return std::vector<Dependency>();
  return what_lies_on(*node);
}

VIRTUAL_STORAGE_TYPE type_of(FormatId format) {
  return {static_cast<ULONG>(format), VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT};
}

/// Writes the entries of version 2 and, behind all of them, their strings.
class TextWriter {
 public:
  explicit TextWriter(std::byte* at) : at_(at) {}
  PWSTR put(const std::string& text) {
    const std::wstring wide = to_wide(text);
    const std::size_t bytes = (wide.size() + 1) * sizeof(WCHAR);
    std::memcpy(at_, wide.c_str(), bytes);
    void* const placed = at_;  // aligned: it follows entries of whole pointers and other texts
    at_ += bytes;
    return static_cast<PWSTR>(placed);
  }

 private:
  std::byte* at_;
};

std::size_t text_bytes(const Dependency& entry) {
  std::size_t characters = 0;
  for (const std::string* text :
       {&entry.device, &entry.host_volume, &entry.dependent_volume, &entry.relative_path}) {
    characters += to_wide(*text).size() + 1;
  }
  return characters * sizeof(WCHAR);
}

std::size_t size_of(const std::vector<Dependency>& entries, bool with_text) {
  std::size_t size = sizeof(STORAGE_DEPENDENCY_INFO);
  for (const Dependency& entry : entries) {
    size += with_text ? sizeof(STORAGE_DEPENDENCY_INFO_TYPE_2) + text_bytes(entry)
                      : sizeof(STORAGE_DEPENDENCY_INFO_TYPE_1);
  }
  return size;
}

void write_entries(const std::vector<Dependency>& entries, STORAGE_DEPENDENCY_INFO* info) {
  info->NumberEntries = static_cast<ULONG>(entries.size());
  void* const buffer = info;
  auto* first = static_cast<std::byte*>(buffer) + sizeof(STORAGE_DEPENDENCY_INFO);
  if (info->Version == STORAGE_DEPENDENCY_INFO_VERSION_1) {
    for (const Dependency& entry : entries) {
      const STORAGE_DEPENDENCY_INFO_TYPE_1 out{static_cast<DEPENDENT_DISK_FLAG>(entry.flags), 0,
                                               type_of(entry.format)};
      std::memcpy(first, &out, sizeof out);
      first += sizeof out;
    }
    return;
  }
  TextWriter text(first + entries.size() * sizeof(STORAGE_DEPENDENCY_INFO_TYPE_2));
  for (const Dependency& entry : entries) {
    STORAGE_DEPENDENCY_INFO_TYPE_2 out{};
    out.DependencyTypeFlags = static_cast<DEPENDENT_DISK_FLAG>(entry.flags);
    out.VirtualStorageType = type_of(entry.format);
    out.AncestorLevel = entry.ancestor_level;
    out.DependencyDeviceName = text.put(entry.device);
    out.HostVolumeName = text.put(entry.host_volume);
    out.DependentVolumeName = text.put(entry.dependent_volume);
    out.DependentVolumeRelativePath = text.put(entry.relative_path);
    std::memcpy(first, &out, sizeof out);
    first += sizeof out;
  }
}

Status get_dependencies(HANDLE handle, std::uint32_t flags, ULONG size, STORAGE_DEPENDENCY_INFO* info,
                        ULONG* size_used) {
  constexpr std::uint32_t kKnown =
      GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES | GET_STORAGE_DEPENDENCY_FLAG_DISK_HANDLE;
  if (info == nullptr || size < sizeof *info || (flags & ~kKnown) != 0) {
    return fail(
        faults::kDependencyArguments,
        "StorageDependencyInfo is NULL, StorageDependencyInfoSize {} is below {}, or Flags {:#x} has unknown "
        "bits",
        size, sizeof *info, flags);
  }
  if (info->Version != STORAGE_DEPENDENCY_INFO_VERSION_1 &&
      info->Version != STORAGE_DEPENDENCY_INFO_VERSION_2) {
    return fail(faults::kDependencyArguments, "STORAGE_DEPENDENCY_INFO version {} is unknown",
                static_cast<ULONG>(info->Version));
  }
  const std::vector<Dependency> entries =
      VDISK_TRY(dependencies(handle, (flags & GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES) != 0));
  const std::size_t needed = size_of(entries, info->Version == STORAGE_DEPENDENCY_INFO_VERSION_2);
  if (size_used != nullptr) *size_used = static_cast<ULONG>(needed);
  if (size < needed) {
    return fail(faults::kBufferSize, "{} entries need {} bytes, the buffer has {}", entries.size(), needed,
                size);
  }
  write_entries(entries, info);
  return {};
}

}  // namespace

}  // namespace vdisk::capi

DWORD WINAPI GetStorageDependencyInformation(HANDLE ObjectHandle, GET_STORAGE_DEPENDENCY_FLAG Flags,
                                             ULONG StorageDependencyInfoSize,
                                             PSTORAGE_DEPENDENCY_INFO StorageDependencyInfo,
                                             PULONG SizeUsed) {
  return vdisk::capi::api_call([&] {
    return vdisk::capi::get_dependencies(ObjectHandle, static_cast<std::uint32_t>(Flags),
                                         StorageDependencyInfoSize, StorageDependencyInfo, SizeUsed);
  });
}
