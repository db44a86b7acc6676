// SPDX-License-Identifier: Apache-2.0
//
// What outlives a killed server. A write that needs a new block is answered when its payload is in the file
// and its mapping in memory; the mapping reaches the file with the next flush. A program that dies in between
// takes the mapping with it, which is what a power cut does, too, and what an unflushed write must expect of
// one. The user of an attached disk sees no power cut, though: the kernel goes on with what it was told is
// written. So the mappings that no flush covers yet are noted here, in memory that another process keeps
// (DESIGN 7), and the next server takes them over before it answers anyone (Image::keep_intents).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "format/write_ticket.h"

namespace vdisk {

/// A block whose mapping a dead writer had changed, all its changes taken together.
struct PendingBlock {
  /// Sectors of the block that hold what was written there.
  struct Sectors {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    bool operator==(const Sectors&) const = default;
  };
  std::uint64_t block = 0;
  bool discarded = false;           ///< What the file says of the block no longer counts.
  std::optional<FileOffset> place;  ///< Where the block's payload is; unset: nowhere any more.
  bool fresh = false;               ///< The dead writer gave it that place.
  std::vector<Sectors> written;     ///< Ascending; they neither overlap nor touch.
};

/// A ring of changes in shared memory. Thread rule: one caller at a time records (the image's writer, under
/// its lock); forget_before() beside it. A process that is killed at any instruction leaves a ring that tells
/// every change whose record() had returned.
class IntentMemory {
 public:
  static constexpr std::uint64_t kCapacity = std::uint64_t{1} << 18;

  /// New and empty. The descriptor (a memfd) is what is handed to another process.
  static Result<std::unique_ptr<IntentMemory>> create();
  /// What another process left in `memory`. Fails with image.intent.memory where that is not a ring.
  static Result<std::unique_ptr<IntentMemory>> open(UniqueFd memory);
  ~IntentMemory();
  IntentMemory(const IntentMemory&) = delete;
  IntentMemory& operator=(const IntentMemory&) = delete;

  int fd() const noexcept { return memory_.get(); }

  void record(const BlockChange& change) noexcept;
  void record_discard(std::uint64_t block) noexcept;
  /// Time to flush: so much is noted that the writes under way might not find room.
  bool nearly_full() const noexcept;
  /// Names the changes recorded so far, for forget_before().
  std::uint64_t position() const noexcept;
  /// The changes before `position` are on stable storage.
  void forget_before(std::uint64_t position) noexcept;

  /// Everything that is noted, by block. Fails with image.intent.memory when the ring once ran over, and
  /// where it is not whole.
  Result<std::vector<PendingBlock>> pending() const;

 private:
  struct Ring;
  IntentMemory(UniqueFd memory, Ring* ring) : memory_(std::move(memory)), ring_(ring) {}
  static Result<std::unique_ptr<IntentMemory>> map(UniqueFd memory);

  UniqueFd memory_;
  Ring* const ring_;
};

}  // namespace vdisk
