// SPDX-License-Identifier: Apache-2.0
#include "io/direct_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/fault.h"

namespace vdisk {

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kBounceBytes = 64 * kKiB;
/// Kept for the next caller, so that a server needs no memory when the kernel has none to give.
constexpr std::size_t kMostIdle = 4;

}  // namespace

struct DirectFile::Memory {
  alignas(kPageBytes) std::array<std::byte, kBounceBytes> bytes;
};

/// Aligned memory for the length of one call.
class DirectFile::Bounce {
 public:
  explicit Bounce(DirectFile& file) : file_(file) {
    const MutexLock lock(file_.mutex_);
    if (file_.idle_.empty()) {
      memory_ = std::make_unique<Memory>();
    } else {
      memory_ = std::move(file_.idle_.back());
      file_.idle_.pop_back();
    }
  }
  ~Bounce() {
    const MutexLock lock(file_.mutex_);
    if (file_.idle_.size() < kMostIdle)
      file_.idle_.push_back(std::move(memory_));  // there is room: the constructor's
  }
  Bounce(const Bounce&) = delete;
  Bounce& operator=(const Bounce&) = delete;

  std::span<std::byte> first(std::size_t bytes) noexcept { return std::span(memory_->bytes).first(bytes); }

 private:
  DirectFile& file_;
  std::unique_ptr<Memory> memory_;
};

DirectFile::DirectFile(std::unique_ptr<File> below, std::uint32_t unit_bytes)
    : below_(std::move(below)), unit_bytes_(unit_bytes) {
  VDISK_ASSERT(std::has_single_bit(unit_bytes) && unit_bytes <= kPageBytes);
  const MutexLock lock(mutex_);
  idle_.reserve(kMostIdle);
  while (idle_.size() < kMostIdle) idle_.push_back(std::make_unique<Memory>());
}

DirectFile::~DirectFile() = default;

bool DirectFile::aligned(FileOffset at, std::span<const std::byte> bytes) const noexcept {
  return ((at.bytes | bytes.size() | std::bit_cast<std::uintptr_t>(bytes.data())) & (unit_bytes_ - 1)) == 0;
}

Result<std::size_t> DirectFile::read(FileOffset at, std::span<std::byte> into) {
  if (aligned(at, into)) return below_->read(at, into);
  Bounce bounce(*this);
  std::size_t done = 0;
  while (done < into.size()) {
    const std::uint64_t from = at.bytes + done;
    const std::uint64_t start = round_down(from, unit_bytes_);
    const std::size_t skipped = from - start;
    const std::size_t wanted = std::min(into.size() - done, kBounceBytes - skipped);
    const std::span<std::byte> units = bounce.first(round_up(skipped + wanted, unit_bytes_));
    const std::size_t got = VDISK_TRY(below_->read(FileOffset{start}, units));
    const std::size_t usable = std::min(got > skipped ? got - skipped : 0, wanted);
    std::ranges::copy(units.subspan(skipped, usable), into.subspan(done).begin());
    done += usable;
    if (usable < wanted) break;
  }
  return done;
}

Status DirectFile::write(FileOffset at, std::span<const std::byte> from) {
  if (from.empty()) return {};
  const bool whole_units = ((at.bytes | from.size()) & (unit_bytes_ - 1)) == 0;
  if (whole_units) {
    gate_.enter_whole();
  } else {
    gate_.enter_alone();
  }
  Status status = aligned(at, from) ? below_->write(at, from) : write_through(at, from);
  if (whole_units) {
    gate_.leave_whole();
  } else {
    gate_.leave_alone();
  }
  return status;
}

Status DirectFile::write_through(FileOffset at, std::span<const std::byte> from) {
  if (!checked_add<std::uint64_t>(at.bytes, from.size() + 2 * unit_bytes_))
    return below_->write(at, from);  // refuses
  Bounce bounce(*this);
  while (!from.empty()) {
    const std::size_t skipped = at.bytes % unit_bytes_;
    const std::size_t length = std::min(from.size(), kBounceBytes - skipped);
    VDISK_TRY(write_piece(at, from.first(length), bounce));
    at.bytes += length;
    from = from.subspan(length);
  }
  return {};
}

/// Writes the units that `from` touches, with what they hold beside it.
Status DirectFile::write_piece(FileOffset at, std::span<const std::byte> from, Bounce& bounce) {
  const std::uint64_t start = round_down(at.bytes, unit_bytes_);
  const std::uint64_t end = at.bytes + from.size();
  const std::span<std::byte> units = bounce.first(round_up(end, unit_bytes_) - start);
  const std::span<std::byte> first = units.first(unit_bytes_);
  const std::span<std::byte> last = units.last(unit_bytes_);
  const auto load = [&](std::span<std::byte> unit) -> Status {
    const FileOffset unit_at{start + static_cast<std::uint64_t>(unit.data() - units.data())};
    static_cast<void>(VDISK_TRY(read_zero_padded(*below_, unit_at, unit)));
    return {};
  };
  if (start != at.bytes) VDISK_TRY(load(first));
  if (end % unit_bytes_ != 0 && (start == at.bytes || units.size() != unit_bytes_)) VDISK_TRY(load(last));
  std::ranges::copy(from, units.begin() + static_cast<std::ptrdiff_t>(at.bytes - start));
  if (end % unit_bytes_ == 0) return below_->write(FileOffset{start}, units);
  const std::uint64_t before = VDISK_TRY(below_->size());
  VDISK_TRY(below_->write(FileOffset{start}, units));
  if (start + units.size() <= before) return {};
  return below_->resize(std::max(before, end));
}

Status DirectFile::zero(FileOffset at, std::uint64_t length) { return clear(at, length, &File::zero); }
Status DirectFile::punch(FileOffset at, std::uint64_t length) { return clear(at, length, &File::punch); }

/// Whole units by `how`, parts of units as writes: below, a kind of storage without holes may write zeros.
Status DirectFile::clear(FileOffset at, std::uint64_t length,
                         Status (File::*how)(FileOffset, std::uint64_t)) {
  const std::uint64_t size = VDISK_TRY(below_->size());
  if (at.bytes >= size || !writable()) return ((*below_).*how)(at, length);  // nothing to do, or refused
  const std::uint64_t end = at.bytes + std::min(length, size - at.bytes);
  constexpr std::array<std::byte, kPageBytes> kZeros{};
  const std::uint64_t whole = std::min(round_up(at.bytes, unit_bytes_), end);
  const std::uint64_t whole_end = std::max(round_down(end, unit_bytes_), whole);
  if (whole != at.bytes) VDISK_TRY(write(at, std::span(kZeros).first(whole - at.bytes)));
  if (whole_end != whole) {
    gate_.enter_whole();
    Status status = ((*below_).*how)(FileOffset{whole}, whole_end - whole);
    gate_.leave_whole();
    VDISK_TRY(std::move(status));
  }
  if (end != whole_end) VDISK_TRY(write(FileOffset{whole_end}, std::span(kZeros).first(end - whole_end)));
  return {};
}

}  // namespace vdisk
