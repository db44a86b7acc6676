// SPDX-License-Identifier: Apache-2.0
//
// Memory for one request or answer. A server that the kernel writes pages back through must not wait for
// memory: the kernel may be waiting for it to give some back. So buffers are touched before any request uses
// them, and locked as far as limits allow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vdisk::serve {

inline constexpr std::size_t kPageBytes = 4096;
/// Most payload of one request that is moved in one piece.
inline constexpr std::size_t kMostPayloadBytes = std::size_t{1} << 20;

/// kMostPayloadBytes on page boundaries, with room for a head right before them: a request that is read with
/// its payload, and an answer that is written with its data, need no copy and are aligned for O_DIRECT.
class PayloadBuffer {
 public:
  /// Nothing when there is no memory.
  static std::unique_ptr<PayloadBuffer> make() noexcept;
  ~PayloadBuffer();
  PayloadBuffer(const PayloadBuffer&) = delete;
  PayloadBuffer& operator=(const PayloadBuffer&) = delete;

  std::span<std::byte> data() noexcept { return {memory_ + kPageBytes, kMostPayloadBytes}; }
  /// The data with `head_bytes` before it. REQUIRES: head_bytes <= kPageBytes.
  std::span<std::byte> with_head(std::size_t head_bytes,
                                 std::size_t data_bytes = kMostPayloadBytes) noexcept {
    return {memory_ + kPageBytes - head_bytes, head_bytes + data_bytes};
  }

 private:
  explicit PayloadBuffer(std::byte* memory) noexcept : memory_(memory) {}
  std::byte* const memory_;
};

}  // namespace vdisk::serve
