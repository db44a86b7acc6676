// SPDX-License-Identifier: Apache-2.0
//
// The promise between resolving a write and exposing it. Image::resolve_write reserves space and hands out a
// ticket; the caller moves the payload; commit() publishes the mapping in memory. A ticket that dies
// uncommitted gives its space back and leaves every reader with what was there before. A ticket carries no
// lock: blocks that it makes for the first time are its own until it ends, everything else goes on beside it.
#pragma once

#include <vdisk/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/fault.h"
#include "format/run.h"

namespace vdisk {

/// One block that a write changes the metadata of.
struct BlockChange {
  std::uint64_t block = 0;
  FileOffset place;                ///< Where the block's payload lies.
  std::uint32_t first_sector = 0;  ///< Sectors of the block that the write covers.
  std::uint32_t sector_count = 0;
  bool fresh = false;  ///< The ticket allocated the block; else only its sector bitmap changes.
};

class WriteTicket {
 public:
  /// What a ticket ends in: implemented by each writable image.
  class Owner {
   public:
    virtual void commit(std::span<const BlockChange> changes) noexcept = 0;
    virtual void abandon(std::span<const BlockChange> changes) noexcept = 0;

   protected:
    ~Owner() = default;
  };

  static constexpr std::size_t kMostChanges = RunList::kCapacity;

  /// Over allocated blocks alone: nothing to commit.
  WriteTicket() {}  // NOLINT: leaves changes_ unset on purpose; clearing a kilobyte for each write would show
  WriteTicket(Owner& owner, std::uint64_t covered_bytes) noexcept
      : covered_bytes_(covered_bytes), owner_(&owner) {}
  WriteTicket(WriteTicket&& other) noexcept
      : covered_bytes_(other.covered_bytes_),
        owner_(std::exchange(other.owner_, nullptr)),
        count_(other.count_) {
    for (std::size_t i = 0; i < count_; ++i) changes_[i] = other.changes_[i];
  }
  WriteTicket& operator=(WriteTicket&&) = delete;
  ~WriteTicket() {
    if (owner_ != nullptr && count_ != 0) owner_->abandon(changes());
  }

  /// Bytes from the beginning of the asked range that the runs cover; more than 0.
  std::uint64_t covered_bytes() const noexcept { return covered_bytes_; }
  void set_covered_bytes(std::uint64_t bytes) noexcept { covered_bytes_ = bytes; }

  /// False when the ticket is full: the rest of the range needs another one.
  bool add(const BlockChange& change) noexcept {
    if (count_ == kMostChanges) return false;
    changes_[count_++] = change;
    return true;
  }
  std::span<const BlockChange> changes() const noexcept { return {changes_.data(), count_}; }

  /// Publishes the mapping: later reads see the payload. REQUIRES: the payload of every run has been written.
  /// **Durability:** none before the image's flush().
  void commit() noexcept {
    if (owner_ != nullptr && count_ != 0) owner_->commit(changes());
    owner_ = nullptr;
  }

 private:
  std::uint64_t covered_bytes_ = 0;
  Owner* owner_ = nullptr;
  std::size_t count_ = 0;
  union {
    std::array<BlockChange, kMostChanges> changes_;
  };
};

}  // namespace vdisk
