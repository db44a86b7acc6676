// SPDX-License-Identifier: Apache-2.0
//
// Each request has a connection of its own while it is under way, from a small pool: so a thread waits for
// its own answer alone, and a server that never gives it can be given up together with the connection.
#include "io/nbd_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "io/faults.h"
#include "io/nbd_library.h"

namespace vdisk {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<std::string_view, 4> kSchemes = {"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"};
constexpr std::uint64_t kMostRequestBytes = 32 * kMiB;  // what servers take that do not say
constexpr std::uint64_t kMostZeroBytes = kGiB;          // length without payload: 32 bits
constexpr std::uint64_t kMostStatusBytes = kGiB;
constexpr std::uint32_t kMostWriteUnitBytes = 512;  // what the engine's writes are multiples of
constexpr const char* kAllocation = LIBNBD_CONTEXT_BASE_ALLOCATION;
constexpr nbd_completion_callback kNoCompletion{};  // requests are waited for

struct CloseHandle {
  const NbdLibrary* library;
  void operator()(nbd_handle* handle) const noexcept { library->close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

/// A stretch of the export whose bytes are zeros, or may not be.
struct Stretch {
  std::uint64_t end;
  bool zero;
};

class NbdFile final : public File {
 public:
  NbdFile(const NbdLibrary& library, std::string uri, const NbdOpen& options)
      : library_(library), uri_(std::move(uri)), options_(options) {}

  Status open();

  Result<std::size_t> read(FileOffset at, std::span<std::byte> into) override;
  Status write(FileOffset at, std::span<const std::byte> from) override;
  Status flush() override;
  Result<std::uint64_t> size() override { return size_; }
  Status resize(std::uint64_t size_bytes) override;
  Status zero(FileOffset at, std::uint64_t length) override {
    return clear(at, length, LIBNBD_CMD_FLAG_NO_HOLE);
  }
  Status punch(FileOffset at, std::uint64_t length) override { return clear(at, length, 0); }
  Result<FileOffset> next_data(FileOffset from) override { return next(from, /*zero=*/false); }
  Result<FileOffset> next_hole(FileOffset from) override { return next(from, /*zero=*/true); }
  bool writable() const noexcept override { return options_.writable; }
  Result<FileIdentity> identity() override { return identity_; }
  const std::string& name() const noexcept override { return uri_; }

 private:
  Result<Handle> connect() const;
  Result<Handle> take();
  void give_back(Handle handle, bool dead);
  Status read_aligned(std::uint64_t at, std::span<std::byte> into);
  Status clear(FileOffset at, std::uint64_t length, std::uint32_t flags);
  Result<FileOffset> next(FileOffset from, bool zero);
  Result<std::vector<Stretch>> ask_status(std::uint64_t at);
  Status may_write(std::uint64_t at, std::uint64_t length) const;

  /// Waits for `done(handle)` to be true, and no longer than the server is given.
  template <class Done>
  Status wait(nbd_handle* handle, Done&& done) const;
  /// Sends what `start(handle)` begins, and waits for the answer.
  template <class Start>
  Status request(std::string_view what, std::uint64_t at, std::uint64_t length, Start&& start);

  std::unexpected<Error> lost(std::string_view why) const {
    return fail(io::faults::kNbdLost, "{}: the connection to the server is lost: {}", uri_, why);
  }

  const NbdLibrary& library_;
  const std::string uri_;
  const NbdOpen options_;
  FileIdentity identity_;
  std::uint64_t size_ = 0;
  std::uint64_t unit_bytes_ = 1;  // what requests are multiples of
  std::uint64_t most_bytes_ = kMostRequestBytes;
  bool can_flush_ = false;
  bool can_zero_ = false;
  bool can_status_ = false;

  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<Handle> idle_;
  unsigned open_ = 0;  // connections, idle or in use
  unsigned most_open_ = 1;
  bool dead_ = false;

  std::mutex status_mutex_;
  std::uint64_t known_from_ = 0;  // of a file that does not change: where the last answer began
  std::vector<Stretch> known_;
};

template <class Done>
Status NbdFile::wait(nbd_handle* handle, Done&& done) const {
  const auto deadline = Clock::now() + options_.patience;
  while (!done(handle)) {
    if (library_.is_dead(handle) == 1 || library_.is_closed(handle) == 1) {
      const char* why = library_.error_text();
      return lost(why != nullptr ? why : "the server ended it");
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return lost(fmt::format("no answer for {} ms", options_.patience.count()));
    if (library_.poll(handle, static_cast<int>(left.count())) < 0 && library_.error_number() != EINTR) {
      const char* why = library_.error_text();
      return lost(why != nullptr ? why : "polling failed");
    }
  }
  return {};
}

Result<Handle> NbdFile::connect() const {
  Handle handle(library_.create(), CloseHandle{&library_});
  const auto refused = [&](std::string_view why) {
    return fail(io::faults::kNbdConnect, "{}: cannot be opened: {}", uri_, why);
  };
  if (!handle) return refused("libnbd has no memory");
  nbd_handle* const raw = handle.get();
  // The URI is the caller's own words, so what it says about files (keys) is too. Servers judge alignment.
  const std::uint32_t strict = library_.get_strict_mode(raw) & ~std::uint32_t{LIBNBD_STRICT_ALIGN};
  if (library_.allow_local_file(raw, true) != 0 || library_.add_meta_context(raw, kAllocation) != 0 ||
      library_.set_strict_mode(raw, strict) != 0 || library_.connect_uri(raw, uri_.c_str()) != 0) {
    return refused(library_.error_text());
  }
  const Status ready = wait(raw, [&](nbd_handle* h) { return library_.is_ready(h) == 1; });
  if (!ready) return refused(ready.error().reason());
  return handle;
}

Status NbdFile::open() {
  static std::atomic<std::uint64_t> serial{0};
  identity_ = {.device = 0, .inode = ++serial | std::uint64_t{1} << 63};
  Handle handle = VDISK_TRY(connect());
  nbd_handle* const raw = handle.get();
  const std::int64_t size = library_.get_size(raw);
  if (size < 0)
    return fail(io::faults::kNbdConnect, "{}: its size is not known: {}", uri_, library_.error_text());
  size_ = static_cast<std::uint64_t>(size);
  const auto limit = [&](int kind) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(library_.get_block_size(raw, kind), 0));
  };
  unit_bytes_ = std::max<std::uint64_t>(limit(LIBNBD_SIZE_MINIMUM), 1);
  if (const std::uint64_t most = limit(LIBNBD_SIZE_MAXIMUM); most != 0)
    most_bytes_ = std::min(most, kMostRequestBytes);
  most_bytes_ = std::max(round_down(most_bytes_, unit_bytes_), unit_bytes_);
  can_flush_ = library_.can_flush(raw) == 1;
  can_zero_ = library_.can_zero(raw) == 1;
  can_status_ = library_.can_meta_context(raw, kAllocation) == 1;
  if (options_.writable && library_.is_read_only(raw) != 0) {
    return fail(io::faults::kReadOnly, "{}: the server lets nobody write; open it read-only", uri_);
  }
  if (options_.writable && unit_bytes_ > kMostWriteUnitBytes) {
    return fail(io::faults::kReadOnly,
                "{}: the server takes writes of {} bytes only, images have parts of {}", uri_, unit_bytes_,
                kMostWriteUnitBytes);
  }
  if (library_.can_multi_conn(raw) == 1) most_open_ = std::max(options_.connections, 1U);
  open_ = 1;
  idle_.push_back(std::move(handle));
  return {};
}

Result<Handle> NbdFile::take() {
  {
    std::unique_lock lock(mutex_);
    // Whoever has a connection gives it back in time, for the server's time is limited.
    given_back_.wait(lock, [&] { return dead_ || !idle_.empty() || open_ < most_open_; });
    if (dead_) return lost("an earlier request found it so");
    if (!idle_.empty()) {
      Handle handle = std::move(idle_.back());
      idle_.pop_back();
      return handle;
    }
    ++open_;
  }
  auto handle = connect();
  if (!handle) give_back(Handle(nullptr, CloseHandle{&library_}), /*dead=*/true);
  return handle;
}

void NbdFile::give_back(Handle handle, bool dead) {
  // What a server did not acknowledge may be lost: going on with a new connection would hide that.
  {
    const std::lock_guard lock(mutex_);
    dead_ = dead_ || dead;
    if (dead) {
      --open_;
    } else {
      idle_.push_back(std::move(handle));
    }
  }
  given_back_.notify_all();
}

template <class Start>
Status NbdFile::request(std::string_view what, std::uint64_t at, std::uint64_t length, Start&& start) {
  Handle handle = VDISK_TRY(take());
  const std::int64_t cookie = start(handle.get());
  int result = cookie < 0 ? -1 : 0;
  int number = cookie < 0 ? library_.error_number() : 0;
  Status waited;
  if (result == 0) {
    waited = wait(handle.get(), [&](nbd_handle* h) {
      result = library_.completed(h, static_cast<std::uint64_t>(cookie));
      if (result < 0) number = library_.error_number();
      return result != 0;
    });
  }
  const bool dead = !waited || library_.is_dead(handle.get()) == 1 || library_.is_closed(handle.get()) == 1;
  const char* why = result < 0 ? library_.error_text() : nullptr;
  const std::string text = why != nullptr ? why : "";
  // A connection that is given up goes before the caller's buffer does.
  if (dead) handle.reset();
  give_back(std::move(handle), dead);
  VDISK_TRY(std::move(waited));
  if (result > 0) return {};
  if (dead) return lost(text);
  if (number == 0) number = EIO;
  return fail_errno(io::faults::fault_for_errno(number == EINVAL ? EIO : number), number,
                    "{}: {} {} bytes at {:#x} ({})", uri_, what, length, at, text);
}

Status NbdFile::read_aligned(std::uint64_t at, std::span<std::byte> into) {
  while (!into.empty()) {
    const std::size_t length = std::min<std::uint64_t>(into.size(), most_bytes_);
    VDISK_TRY(request("reading", at, length, [&](nbd_handle* h) {
      return library_.pread(h, into.data(), length, at, kNoCompletion, 0);
    }));
    at += length;
    into = into.subspan(length);
  }
  return {};
}

Result<std::size_t> NbdFile::read(FileOffset at, std::span<std::byte> into) {
  if (at.bytes >= size_) return 0;
  into = into.first(std::min<std::uint64_t>(into.size(), size_ - at.bytes));
  const std::uint64_t begin = round_down(at.bytes, unit_bytes_);
  const std::uint64_t end = std::min(round_up(at.bytes + into.size(), unit_bytes_), size_);
  if (begin == at.bytes && end == at.bytes + into.size()) {
    VDISK_TRY(read_aligned(begin, into));
    return into.size();
  }
  // In pieces: who asks for much does so from a good offset, but need not end at one.
  std::vector<std::byte> buffer(std::min(end - begin, most_bytes_));
  for (std::uint64_t from = begin; from < end; from += buffer.size()) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), end - from));
    VDISK_TRY(read_aligned(from, piece));
    const std::uint64_t first = std::max(from, at.bytes);
    const std::uint64_t last = std::min(from + piece.size(), at.bytes + into.size());
    std::ranges::copy(piece.subspan(first - from, last - first), into.subspan(first - at.bytes).begin());
  }
  return into.size();
}

Status NbdFile::may_write(std::uint64_t at, std::uint64_t length) const {
  if (!options_.writable)
    return fail(io::faults::kReadOnly, "{}: was opened read-only and cannot be changed", uri_);
  if (fits_within(at, length, size_)) return {};
  return fail(io::faults::kNbdFixedSize,
              "{}: {} bytes at {:#x} lie behind its end, and an export cannot grow", uri_, length, at);
}

Status NbdFile::write(FileOffset at, std::span<const std::byte> from) {
  VDISK_TRY(may_write(at.bytes, from.size()));
  while (!from.empty()) {
    const std::size_t length = std::min<std::uint64_t>(from.size(), most_bytes_);
    VDISK_TRY(request("writing", at.bytes, length, [&](nbd_handle* h) {
      return library_.pwrite(h, from.data(), length, at.bytes, kNoCompletion, 0);
    }));
    at.bytes += length;
    from = from.subspan(length);
  }
  return {};
}

Status NbdFile::flush() {
  // A server without flush has nothing that could be lost, or no way to keep it.
  if (!options_.writable || !can_flush_) return {};
  return request("flushing", 0, 0, [&](nbd_handle* h) { return library_.flush(h, kNoCompletion, 0); });
}

Status NbdFile::resize(std::uint64_t size_bytes) {
  if (size_bytes == size_) return {};
  return fail(io::faults::kNbdFixedSize,
              "{}: has {} bytes and cannot have {}: the size of an export is fixed", uri_, size_, size_bytes);
}

Status NbdFile::clear(FileOffset at, std::uint64_t length, std::uint32_t flags) {
  if (at.bytes >= size_) return may_write(0, 0);
  length = std::min(length, size_ - at.bytes);
  VDISK_TRY(may_write(at.bytes, length));
  const std::vector<std::byte> zeros(can_zero_ ? 0 : std::min(length, most_bytes_));
  while (length != 0) {
    const std::uint64_t piece = std::min(length, can_zero_ ? kMostZeroBytes : zeros.size());
    if (can_zero_) {
      VDISK_TRY(request("zeroing", at.bytes, piece, [&](nbd_handle* h) {
        return library_.zero(h, piece, at.bytes, kNoCompletion, flags);
      }));
    } else {
      VDISK_TRY(write(at, std::span(zeros).first(piece)));
    }
    at.bytes += piece;
    length -= piece;
  }
  return {};
}

Result<std::vector<Stretch>> NbdFile::ask_status(std::uint64_t at) {
  struct Answer {
    std::uint64_t at;
    std::uint64_t size;
    std::vector<Stretch> stretches;
  } answer{at, size_, {}};
  const auto take_entries = [](void* data, const char*, std::uint64_t, std::uint32_t* entries,
                               std::size_t count, int*) noexcept {
    auto& into = *static_cast<Answer*>(data);
    try {
      for (std::size_t i = 0; i + 1 < count; i += 2) {
        into.at = std::min(into.at + entries[i], into.size);
        into.stretches.push_back({into.at, (entries[i + 1] & LIBNBD_STATE_ZERO) != 0});
      }
    } catch (const std::bad_alloc&) {
      return -1;
    }
    return 0;
  };
  const std::uint64_t length = std::min(size_ - at, kMostStatusBytes);
  VDISK_TRY(request("asking for holes in", at, length, [&](nbd_handle* h) {
    const nbd_extent_callback callback{.callback = take_entries, .user_data = &answer, .free = nullptr};
    return library_.block_status(h, length, at, callback, kNoCompletion, 0);
  }));
  if (answer.stretches.empty() || answer.at <= at) return std::vector<Stretch>{{at + length, false}};
  return std::move(answer.stretches);
}

Result<FileOffset> NbdFile::next(FileOffset from, bool zero) {
  const FileOffset end{size_};
  if (from.bytes >= size_) return end;
  if (!can_status_) return zero ? end : from;
  const std::lock_guard lock(status_mutex_);
  std::uint64_t at = from.bytes;
  bool fresh = false;
  while (at < size_) {
    const bool known =
        !known_.empty() && at >= known_from_ && at < known_.back().end && (fresh || !options_.writable);
    if (!known) {
      const std::uint64_t begin = round_down(at, unit_bytes_);
      known_ = VDISK_TRY(ask_status(begin));
      known_from_ = begin;
      fresh = true;
    }
    for (const Stretch& stretch : known_) {
      if (stretch.end <= at) continue;
      if (stretch.zero == zero) return FileOffset{at};
      at = stretch.end;
    }
  }
  return end;
}

}  // namespace

bool is_nbd_uri(std::string_view name) noexcept {
  return std::ranges::any_of(kSchemes, [&](std::string_view scheme) { return name.starts_with(scheme); });
}

Result<std::unique_ptr<File>> open_nbd_file(const std::string& uri, const NbdOpen& options) {
  const NbdLibrary& library = *VDISK_TRY(NbdLibrary::get());
  auto file = std::make_unique<NbdFile>(library, uri, options);
  VDISK_TRY(file->open());
  return file;
}

}  // namespace vdisk
