// SPDX-License-Identifier: Apache-2.0
#include "capi/open_handle.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "capi/attachment_service.h"
#include "capi/faults.h"
#include "io/faults.h"

namespace vdisk::capi {

namespace {

/// The attachments of this process that end with the last handle to their image, so that a handle that is
/// opened later shares in one. Thread rule: any thread.
class LastingAttachments {
 public:
  static LastingAttachments& instance() {
    static LastingAttachments* const table = new LastingAttachments;  // never destroyed, as the handle table
    return *table;
  }
  void add(FileIdentity image, const std::shared_ptr<void>& attachment) {
    const MutexLock lock(mutex_);
    std::erase_if(table_, [](const auto& entry) { return entry.second.expired(); });
    table_[image] = attachment;
  }
  std::shared_ptr<void> find(FileIdentity image) {
    const MutexLock lock(mutex_);
    const auto found = table_.find(image);
    return found == table_.end() ? nullptr : found->second.lock();
  }

 private:
  Mutex mutex_;
  std::map<FileIdentity, std::weak_ptr<void>> table_ VDISK_GUARDED_BY(mutex_);
};

/// To look at an image that the server of an attachment has open.
OpenOptions beside_the_server(OpenOptions options) {
  options.writable = false;
  options.lock = LockMode::kNone;
  return options;
}

}  // namespace

Status OpenHandle::open(bool attached) {
  const WriterLock lock(gate_);
  if (!attached) {
    disk_.emplace(VDISK_TRY(Disk::open(path, options)));
    return {};
  }
  VDISK_TRY(Disk::open(path, beside_the_server(options)));
  lasting_ = LastingAttachments::instance().find(identity);
  return {};
}

Status OpenHandle::look(const std::function<Status(const Disk&)>& use) const {
  for (;;) {
    {
      const ReaderLock lock(gate_);
      if (disk_) return use(*disk_);
    }
    if (VDISK_TRY(attachment())) {
      VDISK_TRY(check_same_file());
      const Disk beside = VDISK_TRY(Disk::open(path, beside_the_server(options)));
      return use(beside);
    }
    const WriterLock lock(gate_);
    // Another thread may have attached it since it was looked for.
    if (!VDISK_TRY(attachment())) VDISK_TRY(take_back());
  }
}

Result<std::optional<attach::AttachmentRecord>> OpenHandle::attachment() const {
  return attach::find_attachment(identity);
}

Result<bool> OpenHandle::attached() const {
  {
    const ReaderLock lock(gate_);
    if (raw_) return true;
  }
  return VDISK_TRY(attachment()).has_value();
}

Status OpenHandle::check_same_file() const {
  struct stat now{};
  if (::stat(path.c_str(), &now) != 0)
    return fail_errno(io::faults::fault_for_errno(errno), errno, "looking for {} again", path);
  if (FileIdentity{.device = now.st_dev, .inode = now.st_ino} == identity) return {};
  return fail(faults::kFileReplaced, "{}: is another file than the one that this handle was opened on", path);
}

Status OpenHandle::take_back() const {
  if (disk_) return {};
  VDISK_TRY(check_same_file());
  disk_.emplace(VDISK_TRY(Disk::open(path, options)));
  return {};
}

Status OpenHandle::check_not_attached() const {
  if (raw_) return fail(faults::kAttachedAlready, "{}: is attached already, by this very handle", path);
  const auto found = VDISK_TRY(attachment());
  if (!found) return {};
  return fail(faults::kAttachedAlready, "{}: is attached already, as {} by process {}", path,
              found->device_node, found->process);
}

Status OpenHandle::attach(const AttachOptions& how) const {
  const WriterLock lock(gate_);
  VDISK_TRY(check_not_attached());
  VDISK_TRY(take_back());
  VDISK_TRY(check_same_file());
  VDISK_TRY(disk_->close());
  disk_.reset();
  auto lasting = attachment_service().attach(path, how);
  if (!lasting) {
    (void)take_back();  // if it cannot be had now, the next call tries again and tells
    return std::unexpected(std::move(lasting).error());
  }
  lasting_ = *std::move(lasting);
  if (lasting_ != nullptr) LastingAttachments::instance().add(identity, lasting_);
  return {};
}

Status OpenHandle::attach_raw(const RawAttachment& how) const {
  const WriterLock lock(gate_);
  VDISK_TRY(check_not_attached());
  VDISK_TRY(take_back());
  raw_ = how;
  return {};
}

Status OpenHandle::detach() const {
  const WriterLock lock(gate_);
  if (raw_) {
    VDISK_TRY(disk_->flush());
    raw_.reset();
    return {};
  }
  const auto found = VDISK_TRY(attachment());
  if (!found) return fail(faults::kNotAttached, "{}: is not attached", path);
  VDISK_TRY(attachment_service().detach(found->device_node));
  lasting_.reset();
  (void)take_back();  // somebody may have been faster; then the next call tries again and tells
  return {};
}

Status OpenHandle::use_raw(const std::function<Status(const Disk&, const RawAttachment&)>& use) const {
  const ReaderLock lock(gate_);
  if (raw_) return use(*disk_, *raw_);
  return fail(faults::kNotRaw,
              "{}: this handle reads and writes only while it is attached with "
              "ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST; otherwise use the block device",
              path);
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto whole = std::filesystem::absolute(path, error);
  return error ? path : whole.string();  // with its "..", which may lie behind a link
}

Result<std::shared_ptr<const OpenHandle>> open_handle(HANDLE handle) {
  auto object = find_object<OpenHandle>(handle);
  if (object == nullptr)
    return fail(faults::kHandle, "handle {} is not an open virtual disk", fmt::ptr(handle));
  return object;
}

Result<std::shared_ptr<const OpenHandle>> virtual_disk(HANDLE handle) {
  auto object = find_object<OpenHandle>(handle);
  if (object == nullptr)
    return fail(faults::kNotAVirtualDisk, "handle {} is not an open virtual disk", fmt::ptr(handle));
  return object;
}

Status need_right(const OpenHandle& handle, std::uint32_t right, const char* name) {
  if (handle.access.allows(right)) return {};
  return fail(faults::kRight, "{}: the handle was opened without {}", handle.path, name);
}

}  // namespace vdisk::capi
