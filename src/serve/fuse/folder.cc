// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/folder.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/checked.h"
#include "base/fault.h"
#include "disk/async.h"
#include "serve/errno_of.h"

namespace vdisk::serve::fuse {

namespace {

constexpr std::uint64_t kFirstFileNode = FUSE_ROOT_ID + 1;
/// For how long the kernel may believe what never changes, and what the server alone changes.
constexpr std::uint64_t kNamesLastSeconds = 3600;
constexpr std::uint64_t kAttributesLastSeconds = 1;

template <class T>
Answer reply(std::span<std::byte> out, const T& value) noexcept {
  std::memcpy(out.data(), &value, sizeof value);
  return {.bytes = sizeof value};
}

Answer refuse(int error) noexcept { return {.error = error}; }

std::chrono::nanoseconds now() noexcept { return std::chrono::system_clock::now().time_since_epoch(); }

/// Appends entries to the answer of a READDIR or READDIRPLUS until it is full.
class EntryWriter {
 public:
  EntryWriter(std::span<std::byte> out, bool plus) : out_(out), plus_(plus) {}

  bool add(const fuse_entry_out& entry, std::string_view name, std::uint64_t next) noexcept {
    fuse_direntplus record{};
    // A node of 0 makes the kernel take the name alone: it looks neither up nor counts "." and "..".
    if (name != "." && name != "..") record.entry_out = entry;
    record.dirent.ino = entry.attr.ino;
    record.dirent.off = next;
    record.dirent.namelen = static_cast<std::uint32_t>(name.size());
    record.dirent.type = (entry.attr.mode & S_IFMT) >> 12;
    const std::size_t head = plus_ ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    const std::size_t size = FUSE_DIRENT_ALIGN(head + name.size());
    if (size > out_.size() - bytes_) return false;
    const std::span<std::byte> place = out_.subspan(bytes_, size);
    std::ranges::fill(place, std::byte{0});
    if (plus_) {
      std::memcpy(place.data(), &record, head);
    } else {
      std::memcpy(place.data(), &record.dirent, head);
    }
    std::memcpy(place.data() + head, name.data(), name.size());
    bytes_ += size;
    return true;
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  const std::span<std::byte> out_;
  const bool plus_;
  std::size_t bytes_ = 0;
};

}  // namespace

Folder::Folder(std::vector<ServedFile> files, TraceSink trace)
    : trace_(std::move(trace)), owner_(::geteuid()), group_(::getegid()) {
  std::map<const Disk*, std::shared_ptr<SectorGate>> gates;
  for (ServedFile& file : files) {
    std::shared_ptr<SectorGate>& gate = gates[file.disk];
    if (!gate) gate = std::make_shared<SectorGate>();
    files_.emplace_back(std::move(file), gate, now());
  }
  for (const PlainFile& one : files_) {
    for (const PlainFile& other : files_) {
      if (&one != &other && one.overlaps(other) && !one.read_only()) shared_bytes_ = true;
    }
  }
}

PlainFile* Folder::file_of(std::uint64_t node) const noexcept {
  if (node < kFirstFileNode || node - kFirstFileNode >= files_.size()) return nullptr;
  return &files_[node - kFirstFileNode];
}

bool Folder::can_transfer() const noexcept {
  return std::ranges::all_of(files_, [](const PlainFile& file) { return vdisk::can_transfer(file.disk()); });
}

int Folder::failed(const PlainFile& file, const char* what, const Error& error) const {
  if (trace_)
    trace_(TraceLevel::kWarning, fmt::format("{}: {} failed: {}", file.name(), what, error.message()));
  return errno_of(error.code());
}

void Folder::note_change(PlainFile& file, std::uint64_t at, std::uint64_t length) noexcept {
  file.note_change();
  if (!shared_bytes_) return;
  const DiskRange range = file.on_disk(at, length);
  for (PlainFile& other : files_) {
    const DiskRange whole = other.on_disk(0, other.size_bytes());
    if (&other != &file && &other.disk() == &file.disk() &&
        ranges_overlap(range.at.bytes, range.length, whole.at.bytes, whole.length)) {
      other.note_change();
    }
  }
}

Folder::Handler Folder::handler_of(std::uint32_t opcode) noexcept {
  switch (opcode) {
    case FUSE_INIT:
      return &Folder::init;
    case FUSE_LOOKUP:
      return &Folder::lookup;
    case FUSE_GETATTR:
      return &Folder::get_attributes;
    case FUSE_SETATTR:
      return &Folder::set_attributes;
    case FUSE_OPEN:
      return &Folder::open;
    case FUSE_OPENDIR:
      return &Folder::open_folder;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return &Folder::read_folder;
    case FUSE_READ:
      return &Folder::read;
    case FUSE_WRITE:
      return &Folder::write;
    case FUSE_FALLOCATE:
      return &Folder::allocate;
    case FUSE_FSYNC:
      return &Folder::flush;
    case FUSE_LSEEK:
      return &Folder::seek;
    case FUSE_STATFS:
      return &Folder::statistics;
    case FUSE_ACCESS:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_DESTROY:
      return &Folder::nothing_to_do;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    // Nothing here waits for long; the request that is to be interrupted is answered as always.
    case FUSE_INTERRUPT:
      return &Folder::no_answer;
    // ENOSYS to a FLUSH spares every close() the way here, and the wait for a server that is just being
    // replaced.
    default:
      return nullptr;
  }
}

Answer Folder::answer(const Request& request, std::span<std::byte> out) {
  const Handler handler = handler_of(request.header.opcode);
  return handler == nullptr ? refuse(ENOSYS) : (this->*handler)(request, out);
}

Answer Folder::nothing_to_do(const Request&, std::span<std::byte>) { return {}; }
Answer Folder::no_answer(const Request&, std::span<std::byte>) { return {.silent = true}; }

Answer Folder::init(const Request& request, std::span<std::byte> out) {
  // The first 16 bytes are as old as the protocol; flags2 follows them since 7.36.
  if (request.body.size() < offsetof(fuse_init_in, flags2)) return refuse(EIO);
  fuse_init_in in{};
  std::memcpy(&in, request.body.data(), std::min(request.body.size(), sizeof in));
  fuse_init_out answer{};
  answer.major = FUSE_KERNEL_VERSION;
  answer.minor = FUSE_KERNEL_MINOR_VERSION;
  // A kernel of a later major version asks again in ours (fuse.h, "Protocol changelog").
  if (in.major > FUSE_KERNEL_VERSION) return reply(out, answer);
  if (in.major < FUSE_KERNEL_VERSION || in.minor < kLeastMinor) return refuse(EPROTO);
  std::uint64_t offered = in.flags;
  if ((in.flags & FUSE_INIT_EXT) != 0) offered |= std::uint64_t{in.flags2} << 32;
  std::uint64_t wanted = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS |
                         FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ABORT_ERROR |
                         FUSE_INIT_EXT | kHasResend;
  // What is read through one file then shows what was written through another: the kernel asks for the time
  // of the last change before it believes its cache.
  if (shared_bytes_) wanted |= FUSE_AUTO_INVAL_DATA;
  const std::uint64_t agreed = wanted & offered;
  answer.flags = static_cast<std::uint32_t>(agreed);
  answer.flags2 = static_cast<std::uint32_t>(agreed >> 32);
  answer.max_readahead = in.max_readahead;
  answer.max_background = 64;
  answer.congestion_threshold = 48;
  answer.max_write = kMostPayloadBytes;
  answer.max_pages = kMostPayloadBytes / kPageBytes;
  answer.time_gran = 1;
  return reply(out, answer);
}

fuse_attr Folder::attributes_of(std::uint64_t node) const {
  fuse_attr attributes{};
  attributes.ino = node;
  attributes.uid = owner_;
  attributes.gid = group_;
  attributes.blksize = kMostPayloadBytes;
  std::chrono::nanoseconds changed = files_.empty() ? std::chrono::nanoseconds(0) : files_.front().changed();
  if (PlainFile* file = file_of(node)) {
    attributes.mode = S_IFREG | (file->read_only() ? 0400U : 0600U);
    attributes.nlink = 1;
    attributes.size = file->size_bytes();
    attributes.blocks = divide_up(file->allocated_bytes(), 512);
    changed = file->changed();
  } else {
    attributes.mode = S_IFDIR | 0500U;
    attributes.nlink = 2;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(changed);
  attributes.mtime = attributes.ctime = attributes.atime = static_cast<std::uint64_t>(seconds.count());
  attributes.mtimensec = attributes.ctimensec = attributes.atimensec =
      static_cast<std::uint32_t>((changed - seconds).count());
  return attributes;
}

fuse_entry_out Folder::entry_of(std::uint64_t node) const {
  fuse_entry_out entry{};
  entry.nodeid = node;
  entry.entry_valid = kNamesLastSeconds;
  entry.attr_valid = shared_bytes_ ? 0 : kAttributesLastSeconds;
  entry.attr = attributes_of(node);
  return entry;
}

Answer Folder::lookup(const Request& request, std::span<std::byte> out) {
  const auto name = request.name();
  if (!name) return refuse(EIO);
  if (request.node() != FUSE_ROOT_ID) return refuse(ENOTDIR);
  for (std::size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].name() == *name) return reply(out, entry_of(kFirstFileNode + i));
  }
  return refuse(ENOENT);
}

Answer Folder::get_attributes(const Request& request, std::span<std::byte> out) {
  if (request.node() != FUSE_ROOT_ID && file_of(request.node()) == nullptr) return refuse(ENOENT);
  fuse_attr_out answer{};
  answer.attr_valid = shared_bytes_ ? 0 : kAttributesLastSeconds;
  answer.attr = attributes_of(request.node());
  return reply(out, answer);
}

/// Times may be set by anybody and mean nothing here; sizes, owners and modes are what they are.
Answer Folder::set_attributes(const Request& request, std::span<std::byte> out) {
  const auto in = request.argument<fuse_setattr_in>();
  if (!in) return refuse(EIO);
  if ((in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID)) != 0) return refuse(EPERM);
  if ((in->valid & FATTR_SIZE) != 0) {
    const PlainFile* file = file_of(request.node());
    if (file == nullptr) return refuse(EISDIR);
    if (in->size != file->size_bytes()) return refuse(EPERM);
  }
  return get_attributes(request, out);
}

Answer Folder::open(const Request& request, std::span<std::byte> out) {
  const auto in = request.argument<fuse_open_in>();
  if (!in) return refuse(EIO);
  const PlainFile* file = file_of(request.node());
  if (file == nullptr) return refuse(request.node() == FUSE_ROOT_ID ? EISDIR : ENOENT);
  if (file->read_only() && (in->flags & O_ACCMODE) != O_RDONLY) return refuse(EROFS);
  fuse_open_out answer{};
  // Nobody but this server's clients changes the disk.
  if (!shared_bytes_) answer.open_flags = FOPEN_KEEP_CACHE;
  return reply(out, answer);
}

Answer Folder::open_folder(const Request& request, std::span<std::byte> out) {
  if (request.node() != FUSE_ROOT_ID) return refuse(ENOTDIR);
  fuse_open_out answer{};
  answer.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
  return reply(out, answer);
}

Answer Folder::read_folder(const Request& request, std::span<std::byte> out) {
  const auto in = request.argument<fuse_read_in>();
  if (!in) return refuse(EIO);
  if (request.node() != FUSE_ROOT_ID) return refuse(ENOTDIR);
  EntryWriter entries(out.first(std::min<std::size_t>(in->size, out.size())),
                      request.header.opcode == FUSE_READDIRPLUS);
  const std::uint64_t count = files_.size() + 2;
  for (std::uint64_t i = in->offset; i < count; ++i) {
    const bool dots = i < 2;
    const std::string_view name = i == 0 ? "." : i == 1 ? ".." : std::string_view(files_[i - 2].name());
    if (!entries.add(entry_of(dots ? FUSE_ROOT_ID : kFirstFileNode + i - 2), name, i + 1)) break;
  }
  return {.bytes = entries.bytes()};
}

std::expected<Transfer, int> Folder::read_transfer(const Request& request) const {
  const auto in = request.argument<fuse_read_in>();
  if (!in) return std::unexpected(EIO);
  PlainFile* file = file_of(request.node());
  if (file == nullptr) return std::unexpected(request.node() == FUSE_ROOT_ID ? EISDIR : ENOENT);
  if (in->size > kMostPayloadBytes) return std::unexpected(EINVAL);
  const std::uint64_t at = std::min(in->offset, file->size_bytes());
  return Transfer{.file = file,
                  .at = at,
                  .length = std::min<std::uint64_t>(in->size, file->size_bytes() - at),
                  .payload = {}};
}

std::expected<Transfer, int> Folder::write_transfer(const Request& request) const {
  const auto in = request.argument<fuse_write_in>();
  if (!in || request.after<fuse_write_in>().size() != in->size) return std::unexpected(EIO);
  PlainFile* file = file_of(request.node());
  if (file == nullptr) return std::unexpected(request.node() == FUSE_ROOT_ID ? EISDIR : ENOENT);
  if (file->read_only()) return std::unexpected(EROFS);
  // As block devices answer: what reaches past the end is cut, what lies behind it has no room.
  if (in->offset >= file->size_bytes() && in->size != 0) return std::unexpected(ENOSPC);
  const std::uint64_t at = std::min(in->offset, file->size_bytes());
  const std::uint64_t length = std::min<std::uint64_t>(in->size, file->size_bytes() - at);
  return Transfer{
      .file = file, .at = at, .length = length, .payload = request.after<fuse_write_in>().first(length)};
}

Answer Folder::read(const Request& request, std::span<std::byte> out) {
  const auto transfer = read_transfer(request);
  if (!transfer) return refuse(transfer.error());
  const Status status = transfer->file->read(transfer->at, out.first(transfer->length));
  if (!status) return refuse(failed(*transfer->file, "reading", status.error()));
  return {.bytes = transfer->length};
}

Answer Folder::write(const Request& request, std::span<std::byte> out) {
  const auto transfer = write_transfer(request);
  if (!transfer) return refuse(transfer.error());
  if (transfer->length != 0) {
    const Status status = transfer->file->write(transfer->at, transfer->payload);
    note_change(*transfer->file, transfer->at, transfer->length);
    if (!status) return refuse(failed(*transfer->file, "writing", status.error()));
  }
  fuse_write_out answer{};
  answer.size = static_cast<std::uint32_t>(transfer->length);
  return reply(out, answer);
}

Answer Folder::allocate(const Request& request, std::span<std::byte>) {
  const auto in = request.argument<fuse_fallocate_in>();
  if (!in) return refuse(EIO);
  PlainFile* file = file_of(request.node());
  if (file == nullptr) return refuse(request.node() == FUSE_ROOT_ID ? EISDIR : ENOENT);
  if (file->read_only()) return refuse(EROFS);
  ZeroSpace space = ZeroSpace::kKeep;
  const auto end = checked_add(in->offset, in->length);
  if (!end) return refuse(EFBIG);
  if (in->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    space = ZeroSpace::kFree;
  } else if (in->mode == FALLOC_FL_ZERO_RANGE && *end > file->size_bytes()) {
    return refuse(ENOSPC);  // it would have to grow
  } else if ((in->mode & ~std::uint32_t{FALLOC_FL_KEEP_SIZE}) != FALLOC_FL_ZERO_RANGE) {
    return refuse(EOPNOTSUPP);
  }
  if (in->offset >= file->size_bytes()) return {};
  const std::uint64_t length = std::min(in->length, file->size_bytes() - in->offset);
  if (length == 0) return {};
  const Status status = file->zero(in->offset, length, space);
  note_change(*file, in->offset, length);
  if (!status) return refuse(failed(*file, "zeroing", status.error()));
  return {};
}

Answer Folder::flush(const Request& request, std::span<std::byte>) {
  const PlainFile* file = file_of(request.node());
  if (file == nullptr) return {};
  const Status status = file->flush();
  if (!status) return refuse(failed(*file, "flushing", status.error()));
  return {};
}

Answer Folder::seek(const Request& request, std::span<std::byte> out) {
  const auto in = request.argument<fuse_lseek_in>();
  if (!in) return refuse(EIO);
  const PlainFile* file = file_of(request.node());
  if (file == nullptr) return refuse(EINVAL);
  if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE) return refuse(EINVAL);
  if (in->offset >= file->size_bytes()) return refuse(ENXIO);
  const auto found = file->seek(in->offset, in->whence == SEEK_DATA);
  if (!found) return refuse(failed(*file, "looking for data", found.error()));
  if (in->whence == SEEK_DATA && *found == file->size_bytes()) return refuse(ENXIO);
  fuse_lseek_out answer{};
  answer.offset = *found;
  return reply(out, answer);
}

Answer Folder::statistics(const Request&, std::span<std::byte> out) {
  fuse_statfs_out answer{};
  answer.st.bsize = answer.st.frsize = kPageBytes;
  answer.st.namelen = 255;
  answer.st.files = files_.size();
  for (const PlainFile& file : files_) {
    answer.st.blocks = std::max<std::uint64_t>(answer.st.blocks, divide_up(file.size_bytes(), kPageBytes));
  }
  return reply(out, answer);
}

}  // namespace vdisk::serve::fuse
