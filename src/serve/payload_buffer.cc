// SPDX-License-Identifier: Apache-2.0
#include "serve/payload_buffer.h"

#include <sys/mman.h>

#include <new>

namespace vdisk::serve {

namespace {
constexpr std::size_t kMappedBytes = kPageBytes + kMostPayloadBytes;
}

std::unique_ptr<PayloadBuffer> PayloadBuffer::make() noexcept {
  void* memory = ::mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // Beyond the limit the pages are there all the same, and can only be swapped out.
  static_cast<void>(::mlock(memory, kMappedBytes));
  return std::unique_ptr<PayloadBuffer>(new (std::nothrow) PayloadBuffer(static_cast<std::byte*>(memory)));
}

PayloadBuffer::~PayloadBuffer() { ::munmap(memory_, kMappedBytes); }

}  // namespace vdisk::serve
