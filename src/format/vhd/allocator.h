// SPDX-License-Identifier: Apache-2.0
//
// Which places of the file are free for blocks, and which will be once nobody can use them any more.
// Bookkeeping alone: no I/O and no locks; write.h says when a place moves on.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "base/io_gate.h"
#include "format/vhd/parse.h"

namespace vdisk::vhd {

/// Where things may lie. Windows keeps block data at multiples of 4096 and ends the file at one
/// (formats.md 1.15).
class PlaceRules {
 public:
  explicit PlaceRules(const Parsed& parsed) noexcept;

  /// Bytes of a block with its bitmap.
  std::uint64_t length() const noexcept { return length_; }
  /// From one place to the next.
  std::uint64_t stride() const noexcept;
  /// The first place for a block (its bitmap comes first) at or after `end`.
  std::uint64_t place_from(std::uint64_t end) const noexcept;
  /// The first place for the footer at or after `end`.
  static std::uint64_t footer_from(std::uint64_t end) noexcept;

 private:
  std::uint64_t bitmap_bytes_;
  std::uint64_t length_;
  std::uint64_t align_;
};

/// A place that a block left.
struct Freed {
  std::uint64_t place = 0;
  std::uint64_t epoch = 0;  ///< Of the image's I/O gate.
};

/// The life of a freed place. `freed`: the BAT change is not durable. `settled`: it is, or the place was
/// never in the BAT; I/O that began before may still go there. `punched`: that has ended and the place reads
/// as zeros, but not yet after a crash. Free: it does. REQUIRES: one caller at a time.
class Allocator {
 public:
  explicit Allocator(const PlaceRules& rules) noexcept : rules_(rules) {}

  /// Blocks may be put into [from, footer_at).
  void set_tail(std::uint64_t from, std::uint64_t footer_at) noexcept {
    next_ = from;
    footer_at_ = footer_at;
  }
  /// `place` is free and reads as zeros for good.
  void add_free(std::uint64_t place) { free_.insert(place); }

  bool has_place() const noexcept { return !free_.empty() || tail_has_room(); }
  /// The lowest free place.
  std::optional<std::uint64_t> take() noexcept;

  /// Makes the next `count` calls of free() and give_back() in all succeed.
  void reserve(std::size_t count);
  void free(Freed freed) noexcept { freed_.push_back(freed); }
  void give_back(Freed never_used) noexcept { settled_.push_back(never_used); }

  std::vector<Freed> take_freed() { return std::exchange(freed_, {}); }
  void settle(const std::vector<Freed>& freed) {
    settled_.insert(settled_.end(), freed.begin(), freed.end());
  }
  bool any_settled() const noexcept { return !settled_.empty(); }
  /// The settled places that no I/O can reach; the caller punches them.
  std::vector<std::uint64_t> take_unreachable(const IoGate& gate);
  void add_punched(std::uint64_t place) { punched_.push_back(place); }
  std::vector<std::uint64_t> take_punched() { return std::exchange(punched_, {}); }

  /// At the end, when all is flushed: takes the free places before the footer back into the tail, and returns
  /// where the tail begins.
  std::uint64_t shrink() noexcept;

 private:
  bool tail_has_room() const noexcept;

  const PlaceRules rules_;
  std::uint64_t next_ = 0;
  std::uint64_t footer_at_ = 0;
  std::set<std::uint64_t> free_;
  std::vector<Freed> freed_;
  std::vector<Freed> settled_;
  std::vector<std::uint64_t> punched_;
};

/// What a file's own map says of its space.
struct SpaceMap {
  std::uint64_t allocated_blocks = 0;
  std::uint64_t tail = 0;           ///< Nothing lies at or after it but the footer.
  std::vector<std::uint64_t> gaps;  ///< Places between blocks that nothing refers to; at most kMostGaps.
  static constexpr std::size_t kMostGaps = 64 * 1024;
};
/// `placed`: the sorted placed_block() of all blocks.
SpaceMap map_space(const Parsed& parsed, const PlaceRules& rules, const std::vector<std::uint64_t>& placed);

}  // namespace vdisk::vhd
