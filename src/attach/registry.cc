// SPDX-License-Identifier: Apache-2.0
#include "attach/registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "attach/estate.h"
#include "attach/faults.h"
#include "base/random.h"
#include "io/faults.h"

namespace vdisk::attach {

namespace {

// The lock's bytes. The first is held by the living; the second by whoever removes a dead record, so that two
// healers cannot remove one another's work. Readers test the first alone.
constexpr off_t kAliveByte = 0;
constexpr off_t kHealByte = 1;
constexpr unsigned kMostAttempts = 64;
constexpr std::string_view kSuffix = ".attachment";
constexpr std::string_view kTemporaryPrefix = ".new-";

std::unexpected<Error> fail_call(int os_errno, std::string_view what, const std::string& path) {
  return fail_errno(io::faults::fault_for_errno(os_errno), os_errno, "attachment registry: {} {}", what,
                    path);
}

struct flock lock_at(off_t byte, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

// False when another open file description holds the byte.
Result<bool> try_lock(int fd, off_t byte, const std::string& name) {
  struct flock lock = lock_at(byte, F_WRLCK);
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return fail_call(errno, "locking", name);
}

Result<bool> is_alive(int fd, const std::string& name) {
  struct flock lock = lock_at(kAliveByte, F_WRLCK);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) return fail_call(errno, "testing the lock of", name);
  return lock.l_type != F_UNLCK;
}

std::string record_name(FileIdentity image) {
  return fmt::format("{:x}-{:x}{}", image.device, image.inode, kSuffix);
}

bool trusted_owner(uid_t owner) noexcept { return owner == 0 || owner == ::geteuid(); }

struct Folder {
  std::string path;
  bool foreign = false;  // root's, seen by another user: unreadable records are skipped
};

// The folder in which this process records attachments; empty if it has none.
std::string own_folder(const RegistryOptions& options) {
  if (options.folder) return *options.folder;
  const char* named = ::secure_getenv("VDISK_RUNTIME_DIR");
  if (named != nullptr && named[0] == '/') return named;
  if (::geteuid() == 0) return "/run/vdisk";
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && runtime[0] == '/' ? std::string(runtime) + "/vdisk" : std::string();
}

std::vector<Folder> folders_to_search(const RegistryOptions& options) {
  std::vector<Folder> folders;
  if (std::string own = own_folder(options); !own.empty()) folders.push_back({std::move(own), false});
  const bool named = options.folder || ::secure_getenv("VDISK_RUNTIME_DIR") != nullptr;
  if (!named && ::geteuid() != 0) folders.push_back({"/run/vdisk", true});
  return folders;
}

// Only its owner may be able to change what is in the folder, and the owner is this user or root.
Result<UniqueFd> open_folder(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  // A link in the folder's place is refused; one further up is the administrator's (/var/run).
  if (!fd && (errno == ELOOP || errno == ENOTDIR)) {
    return fail(faults::kFolderUntrusted,
                "{}: not a folder; attachments are recorded in a folder of one's own", path);
  }
  if (!fd) return fail_call(errno, "opening", path);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_call(errno, "examining", path);
  if (!trusted_owner(status.st_uid) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(faults::kFolderUntrusted,
                "{}: owned by user {} with mode {:04o}, so others could forge records; make it your own with "
                "mode 0700",
                path, status.st_uid, status.st_mode & 07777U);
  }
  return fd;
}

// Unset when the name is not there.
Result<std::optional<UniqueFd>> open_record(int folder, const std::string& name, const Folder& where,
                                            int access) {
  UniqueFd fd(::openat(folder, name.c_str(), access | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd && errno == EACCES && where.foreign) return std::nullopt;
  const std::string path = where.path + "/" + name;
  // ELOOP: a link. ENXIO: a socket, or a FIFO. EISDIR: a folder.
  if (!fd && (errno == ELOOP || errno == ENXIO || errno == EISDIR)) {
    return fail(faults::kRecordUntrusted, "{}: not a regular file, so no record of ours; remove it", path);
  }
  if (!fd) return fail_call(errno, "opening", path);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_call(errno, "examining", path);
  if (!S_ISREG(status.st_mode) || !trusted_owner(status.st_uid)) {
    return fail(faults::kRecordUntrusted, "{}: {} of user {}, so no record of ours; remove it", path,
                S_ISREG(status.st_mode) ? "a file" : "no regular file", status.st_uid);
  }
  return std::optional<UniqueFd>(std::move(fd));
}

// True while `name` still is the file behind `fd`.
bool still_named(int folder, const std::string& name, int fd) {
  struct stat by_name{};
  struct stat by_fd{};
  return ::fstatat(folder, name.c_str(), &by_name, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(fd, &by_fd) == 0 &&
         by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
}

Result<std::string> read_text(int fd, const std::string& path) {
  std::string buffer(kMostRecordBytes + 1, '\0');
  std::size_t length = 0;
  while (length < buffer.size()) {
    const ssize_t got =
        ::pread(fd, buffer.data() + length, buffer.size() - length, static_cast<off_t>(length));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_call(errno, "reading", path);
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  buffer.resize(length);
  return buffer;
}

Result<AttachmentRecord> read_record(int fd, const std::string& path, FileIdentity image) {
  auto record = parse_record(VDISK_TRY(read_text(fd, path)));
  if (!record || record->handshake != kHandshake || record->image != image) {
    return fail(faults::kRecordUnreadable,
                "{}: a live attachment's record that is damaged or of another version of vdisk; detach the "
                "image with "
                "the program that attached it",
                path);
  }
  return *std::move(record);
}

Result<std::optional<AttachmentRecord>> find_in(const Folder& where, FileIdentity image) {
  auto folder = open_folder(where.path);
  if (!folder) {
    const int error = folder.error().os_errno();
    if (error == ENOENT || (where.foreign && error == EACCES)) return std::nullopt;
    return std::unexpected(std::move(folder).error());
  }
  const std::string name = record_name(image);
  for (unsigned attempt = 0; attempt < kMostAttempts; ++attempt) {
    const auto fd = VDISK_TRY(open_record(folder->get(), name, where, O_RDONLY));
    if (!fd) return std::nullopt;
    const std::string path = where.path + "/" + name;
    if (!VDISK_TRY(is_alive(fd->get(), path))) {
      // Stale, unless it was healed and made anew since it was opened.
      if (still_named(folder->get(), name, fd->get())) return std::nullopt;
      continue;
    }
    auto record = read_record(fd->get(), path, image);
    // A record that ended while it was read says nothing any more.
    if (!VDISK_TRY(is_alive(fd->get(), path))) continue;
    if (!record) return std::unexpected(std::move(record).error());
    return std::optional<AttachmentRecord>(*std::move(record));
  }
  return fail(faults::kRegistryBusy, "{}/{}: the record changed at each of {} attempts to read it; try again",
              where.path, name, kMostAttempts);
}

// Removes the record behind `fd` if it is dead and still has its name. Only the holder of the heal lock
// removes a name, so between the test and the removal nobody can have put a live record there.
Result<bool> remove_if_stale(int folder, const std::string& name, int fd) {
  if (VDISK_TRY(is_alive(fd, name)) || !VDISK_TRY(try_lock(fd, kHealByte, name))) return false;
  if (!still_named(folder, name, fd)) return true;
  // The socket first: once the name is gone, both may be another's.
  if (::unlinkat(folder, (name + kSocketSuffix).c_str(), 0) != 0 && errno != ENOENT) {
    return fail_call(errno, "removing the socket of", name);
  }
  if (::unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT) return fail_call(errno, "removing", name);
  return true;
}

// Removes what publishers that were killed half-way left. Errors only leave litter.
void sweep_temporaries(int folder, const Folder& where) {
  UniqueFd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy.get()), ::closedir);
  if (!listing) return;
  copy.release();
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (!name.starts_with(kTemporaryPrefix)) continue;
    auto fd = open_record(folder, name, where, O_RDWR);
    if (fd && *fd) (void)remove_if_stale(folder, name, (*fd)->get());
  }
}

Result<std::string> text_of(const AttachmentRecord& record) {
  std::string text = format_record(record);
  if (text.size() <= kMostRecordBytes) return text;
  return fail(faults::kRecordLimits,
              "the record of an attachment would take {} bytes, {} are allowed: its path is too long",
              text.size(), kMostRecordBytes);
}

struct Fresh {
  UniqueFd fd;
  std::string name;
};

// The record, whole and locked, under a temporary name.
Result<Fresh> write_fresh(int folder, const std::string& folder_path, const std::string& text) {
  const std::string name = fmt::format("{}{:016x}", kTemporaryPrefix, random_u64());
  const std::string path = folder_path + "/" + name;
  UniqueFd fd(::openat(folder, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return fail_call(errno, "making", path);
  const auto undo = [&](auto error) {
    ::unlinkat(folder, name.c_str(), 0);
    return error;
  };
  auto locked = try_lock(fd.get(), kAliveByte, path);
  if (!locked) return undo(std::unexpected(std::move(locked).error()));
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return undo(fail_call(errno, "writing", path));
    done += static_cast<std::size_t>(wrote);
  }
  return Fresh{std::move(fd), name};
}

}  // namespace

PublishedRecord& PublishedRecord::operator=(PublishedRecord&& other) noexcept {
  if (this != &other) {
    withdraw();
    folder_ = std::move(other.folder_);
    record_ = std::move(other.record_);
    name_ = std::move(other.name_);
  }
  return *this;
}

void PublishedRecord::withdraw() noexcept {
  if (!record_) return;
  // The lock is held until the name is gone, so the name cannot be anyone else's yet.
  if (still_named(folder_.get(), name_, record_.get())) {
    ::unlinkat(folder_.get(), socket_name().c_str(), 0);
    ::unlinkat(folder_.get(), name_.c_str(), 0);
  }
  record_.reset();
  folder_.reset();
}

void PublishedRecord::forget() noexcept {
  record_.reset();
  folder_.reset();
}

Status PublishedRecord::update(const AttachmentRecord& record) {
  const std::string text = VDISK_TRY(text_of(record));
  Fresh fresh = VDISK_TRY(write_fresh(folder_.get(), "the registry", text));
  // The old record is alive, so nobody else touches its name.
  if (::renameat(folder_.get(), fresh.name.c_str(), folder_.get(), name_.c_str()) != 0) {
    const int error = errno;
    ::unlinkat(folder_.get(), fresh.name.c_str(), 0);
    return fail_call(error, "replacing", name_);
  }
  record_ = std::move(fresh.fd);
  return {};
}

void PublishedRecord::bequeath(Estate& estate) const {
  estate.fields.add("record", name_);
  estate.add("record", record_.get());
  estate.add("folder", folder_.get());
}

Result<PublishedRecord> PublishedRecord::inherit(Estate& estate) {
  auto name = estate.fields.text("record");
  PublishedRecord record(estate.take("folder"), estate.take("record"), std::move(name).value_or(""));
  if (record.record_ && record.folder_ && !record.name_.empty()) return record;
  record.forget();
  return fail(faults::kForeignAnswer, "an attachment was handed over without its record");
}

Result<PublishedRecord> publish(const AttachmentRecord& record, const RegistryOptions& options) {
  const std::string text = VDISK_TRY(text_of(record));
  const Folder where{own_folder(options), false};
  if (where.path.empty()) {
    return fail(faults::kNoFolder,
                "XDG_RUNTIME_DIR is not set, so there is no folder for the records of attachments; "
                "set it, or VDISK_RUNTIME_DIR to a folder of your own");
  }
  if (::mkdir(where.path.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_call(errno, "making", where.path);
  UniqueFd folder = VDISK_TRY(open_folder(where.path));
  sweep_temporaries(folder.get(), where);

  const std::string name = record_name(record.image);
  Fresh fresh;
  for (unsigned attempt = 0; attempt < kMostAttempts; ++attempt) {
    if (!fresh.fd) fresh = VDISK_TRY(write_fresh(folder.get(), where.path, text));
    if (::linkat(folder.get(), fresh.name.c_str(), folder.get(), name.c_str(), 0) == 0) {
      ::unlinkat(folder.get(), fresh.name.c_str(), 0);
      return PublishedRecord(std::move(folder), std::move(fresh.fd), name);
    }
    const int error = errno;
    // A sweeper that came between the making and the locking took it for litter.
    if (error == ENOENT) fresh = {};
    if (error == ENOENT) continue;
    const auto give_up = [&](auto failure) {
      ::unlinkat(folder.get(), fresh.name.c_str(), 0);
      return failure;
    };
    if (error != EEXIST) return give_up(fail_call(error, "naming", where.path + "/" + name));
    auto there = open_record(folder.get(), name, where, O_RDWR);
    if (!there) return give_up(std::unexpected(std::move(there).error()));
    if (!*there) continue;
    const auto alive = is_alive((*there)->get(), name);
    if (alive && *alive) {
      return give_up(fail(faults::kAlreadyAttached, "{}: the image is attached already ({}/{})",
                          record.image_path, where.path, name));
    }
    auto removed = remove_if_stale(folder.get(), name, (*there)->get());
    if (!removed) return give_up(std::unexpected(std::move(removed).error()));
  }
  ::unlinkat(folder.get(), fresh.name.c_str(), 0);
  return fail(faults::kRegistryBusy, "{}/{}: the record changed at each of {} attempts to make it; try again",
              where.path, name, kMostAttempts);
}

namespace {

/// The names in the folder that are records'; empty where it cannot be read.
std::vector<std::string> record_names(int folder) {
  std::vector<std::string> names;
  UniqueFd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy.get()), ::closedir);
  if (!listing) return names;
  copy.release();
  while (const dirent* entry = ::readdir(listing.get())) {
    std::string name = entry->d_name;
    if (name.ends_with(kSuffix)) names.push_back(std::move(name));
  }
  return names;
}

void add_records(const Folder& where, int folder, std::vector<FoundRecord>& found) {
  for (const std::string& name : record_names(folder)) {
    auto fd = open_record(folder, name, where, O_RDONLY);
    if (!fd || !*fd) continue;
    auto alive = is_alive((*fd)->get(), name);
    // A dead file that lost its name was replaced by a living one (PublishedRecord::update).
    for (unsigned attempt = 0; alive && !*alive && !still_named(folder, name, (*fd)->get()); ++attempt) {
      fd = open_record(folder, name, where, O_RDONLY);
      if (!fd || !*fd || attempt == kMostAttempts) break;
      alive = is_alive((*fd)->get(), name);
    }
    if (!fd || !*fd) continue;
    auto text = read_text((*fd)->get(), name);
    auto record = text ? parse_record(*text) : std::nullopt;
    if (!alive || !record || record->handshake != kHandshake || record_name(record->image) != name) continue;
    found.push_back({.record = *std::move(record),
                     .alive = *alive,
                     .socket_path = where.path + "/" + name + kSocketSuffix,
                     .folder = where.path,
                     .name = name});
  }
}

}  // namespace

Result<std::vector<FoundRecord>> all_records(const RegistryOptions& options) {
  std::vector<FoundRecord> found;
  for (const Folder& where : folders_to_search(options)) {
    const auto folder = open_folder(where.path);
    if (!folder) {
      const int error = folder.error().os_errno();
      if (error == ENOENT || (where.foreign && error == EACCES)) continue;
      return std::unexpected(folder.error());
    }
    add_records(where, folder->get(), found);
  }
  return found;
}

void remove_record(const FoundRecord& dead) {
  const auto folder = open_folder(dead.folder);
  if (!folder) return;
  const auto fd = open_record(folder->get(), dead.name, {dead.folder, false}, O_RDWR);
  if (fd && *fd) (void)remove_if_stale(folder->get(), dead.name, (*fd)->get());
}

Result<std::optional<AttachmentRecord>> find_attachment(FileIdentity image, const RegistryOptions& options) {
  for (const Folder& folder : folders_to_search(options)) {
    auto found = VDISK_TRY(find_in(folder, image));
    if (found) return found;
  }
  return std::nullopt;
}

}  // namespace vdisk::attach
