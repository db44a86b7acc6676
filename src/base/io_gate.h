// SPDX-License-Identifier: Apache-2.0
//
// Tells when I/O that may still use an old mapping has ended, without making that I/O wait for anything.
//
// Every read and write on a writable disk enters the gate before it resolves offsets and leaves it after its
// payload has moved. Space freed in epoch E may be given to another block once ended(E) holds: whoever could
// have resolved to the old place has left, and whoever enters later resolves to the new one.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace vdisk {

/// Thread rule: all members, any thread. Entering and leaving are one atomic addition each.
class IoGate {
 public:
  /// One I/O under way.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (count_ != nullptr) count_->fetch_sub(1);
    }

   private:
    friend class IoGate;
    explicit Pass(std::atomic<std::uint64_t>& count) noexcept : count_(&count) {}
    std::atomic<std::uint64_t>* count_ = nullptr;
  };

  Pass enter() noexcept {
    for (;;) {
      const std::uint64_t epoch = epoch_.load();
      std::atomic<std::uint64_t>& count = inside_[epoch % 2].count;
      count.fetch_add(1);
      // Counted into an epoch that ended meanwhile, the pass would not be waited for: try again.
      if (epoch_.load() == epoch) [[likely]]
        return Pass(count);
      count.fetch_sub(1);
    }
  }

  /// The epoch that space freed now belongs to.
  std::uint64_t epoch() const noexcept { return epoch_.load(); }

  /// Begins the next epoch if everyone of the one before this has left (there are two counters); else changes
  /// nothing. Called now and then by whoever waits for an epoch to end. REQUIRES: one caller at a time.
  void try_advance() noexcept {
    const std::uint64_t epoch = epoch_.load();
    if (inside_[(epoch + 1) % 2].count.load() == 0) epoch_.store(epoch + 1);
  }

  /// True once every pass that entered in `epoch` or before has left.
  bool ended(std::uint64_t epoch) const noexcept {
    const std::uint64_t now = epoch_.load();
    return now >= epoch + 2 || (now == epoch + 1 && inside_[epoch % 2].count.load() == 0);
  }

 private:
  struct alignas(64) Count {
    std::atomic<std::uint64_t> count{0};
  };
  std::atomic<std::uint64_t> epoch_{2};
  Count inside_[2];
};

}  // namespace vdisk
