// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/fault.h"

namespace vdisk {

namespace {
void fill(void* into, std::size_t size) noexcept {
  auto* at = static_cast<unsigned char*>(into);
  while (size > 0) {
    const ssize_t got = ::getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    VDISK_ASSERT(got > 0);  // getrandom without flags only blocks before the pool is seeded (getrandom(2)).
    at += got;
    size -= static_cast<std::size_t>(got);
  }
}
}  // namespace

Guid random_guid() noexcept {
  std::array<std::uint8_t, 16> text{};
  fill(text.data(), text.size());
  text[6] = static_cast<std::uint8_t>((text[6] & 0x0F) | 0x40);  // RFC 4122 4.4
  text[8] = static_cast<std::uint8_t>((text[8] & 0x3F) | 0x80);
  return Guid::from_text_order(text);
}

std::uint64_t random_u64() noexcept {
  std::uint64_t value = 0;
  fill(&value, sizeof value);
  return value;
}

}  // namespace vdisk
