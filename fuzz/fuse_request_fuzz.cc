// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as requests of the kernel's FUSE to a folder of three files. The input is pieces: a length of two
// bytes, then that many bytes of one request, whose own length field is put right unless the first bit of the
// length says otherwise. Oracle, besides the sanitizers: no answer is longer than the space for it, and
// errors are errno values.
#include <unistd.h>
#include <vdisk/disk.h>
#include <vdisk/operations.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "serve/fuse/folder.h"

namespace {

using namespace vdisk;         // NOLINT: one short program
using namespace vdisk::serve;  // NOLINT

constexpr std::uint64_t kDiskBytes = 8 * kMiB;
constexpr int kMostErrno = 4095;

Disk make_disk() {
  const std::string path = "/tmp/vdisk_fuse_request_fuzz_" + std::to_string(::getpid()) + ".vhdx";
  CreateOptions how;
  how.format = FormatId::kVhdx;
  how.virtual_size_bytes = kDiskBytes;
  how.block_bytes = kMiB;
  VDISK_ASSERT(create(path, how).has_value());
  OpenOptions options;
  options.writable = true;
  auto disk = Disk::open(path, options);
  VDISK_ASSERT(disk.has_value());
  VDISK_ASSERT(::unlink(path.c_str()) == 0);
  return *std::move(disk);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Disk disk = make_disk();
  static fuse::Folder folder({{"disk.raw", &disk, {{}, kDiskBytes}, false},
                              {"partition1.raw", &disk, {{kMiB}, 2 * kMiB}, false},
                              {"partition2.raw", &disk, {{3 * kMiB}, kMiB}, true}},
                             {});
  static std::vector<std::byte> out(kMostPayloadBytes);
  while (size >= 2) {
    const bool as_it_is = (data[0] & 1) != 0;
    const std::size_t length = std::min<std::size_t>((data[0] >> 1) * std::size_t{16} + data[1], size - 2);
    std::vector<std::byte> bytes(length);  // of its own, so that a read past its end is seen
    if (length != 0) std::memcpy(bytes.data(), data + 2, length);
    data += 2 + length;
    size -= 2 + length;
    const auto told = static_cast<std::uint32_t>(length);
    if (!as_it_is && length >= sizeof told) std::memcpy(bytes.data(), &told, sizeof told);
    const auto request = fuse::parse_request(bytes);
    if (!request) continue;
    const fuse::Answer answer = folder.answer(*request, out);
    VDISK_ASSERT(answer.error >= 0 && answer.error <= kMostErrno);
    VDISK_ASSERT(answer.bytes <= out.size() && (answer.error == 0 || answer.bytes == 0));
  }
  return 0;
}
