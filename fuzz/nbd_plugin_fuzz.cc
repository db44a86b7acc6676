// SPDX-License-Identifier: Apache-2.0
//
// Any requests of an NBD client, as nbdkit lets them through to the plugin, on images of each writable shape.
// Oracle, besides the sanitizers: a model that knows what the disk must show, and check at the end.
#include <stdlib.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "io/memory_file.h"
#include "io/posix_file.h"
#include "serve/nbd/test_nbdkit.h"
#include "testing/temp_folder.h"

namespace {

using namespace vdisk;  // NOLINT: one short program
using serve::nbd::Host;
using serve::nbd::ModelClient;
using serve::nbd::Request;

constexpr std::size_t kRequestBytes = 12;
constexpr std::size_t kMostRequests = 64;
constexpr std::uint64_t kDiskBytes = 4 * kMiB;

struct Shape {
  const char* name;
  std::uint32_t block_bytes;
  std::uint32_t sector_bytes;
  DiskType type;
  const char* parent;
};
constexpr Shape kShapes[] = {
    {"a.vhdx", kMiB, 512, DiskType::kDynamic, ""},
    {"b.vhdx", kMiB, 4096, DiskType::kDynamic, ""},
    {"c.vhdx", kMiB, 0, DiskType::kDifferencing, "a.vhdx"},
    {"d.vhdx", 0, 512, DiskType::kFixed, ""},
    {"e.vhd", 512 * kKiB, 0, DiskType::kDynamic, ""},
    {"f.vhd", 0, 0, DiskType::kDifferencing, "e.vhd"},
    {"g.vhd", 0, 0, DiskType::kFixed, ""},
};

/// An empty image of each shape, made once; the parents hold something.
class Images {
 public:
  Images() {
    for (const Shape& shape : kShapes) {
      CreateOptions options;
      options.type = shape.type;
      options.block_bytes = shape.block_bytes;
      options.logical_sector_bytes = shape.sector_bytes;
      if (shape.type != DiskType::kDifferencing) options.virtual_size_bytes = kDiskBytes;
      if (shape.type == DiskType::kFixed) options.preallocation = Preallocation::kNone;
      if (*shape.parent != '\0') options.parent = folder_.path(shape.parent);
      const Status made = create(folder_.path(shape.name), options);
      VDISK_ASSERT(made.has_value());
      bytes_.push_back(testing::state_of(folder_.path(shape.name)).bytes);
      if (shape.name[0] == 'a' || shape.name[0] == 'e') fill(folder_.path(shape.name));
    }
  }
  /// The image as it was made; where it is the parent of another, a copy.
  std::string fresh(std::size_t shape) const {
    const std::string name = std::string("used-") + kShapes[shape].name;
    return folder_.save(name, bytes_[shape]);
  }

 private:
  static void fill(const std::string& path) {
    OpenOptions options;
    options.writable = true;
    auto disk = Disk::open(path, options);
    VDISK_ASSERT(disk && disk->write({kMiB / 2}, std::vector<std::byte>(kMiB, std::byte{0xEE})) &&
                 disk->close());
  }
  const testing::TempFolder folder_;
  std::vector<std::vector<std::byte>> bytes_;
};

Request request_of(std::span<const std::uint8_t> bytes) {
  std::uint32_t at = 0, length = 0;
  std::memcpy(&at, &bytes[4], sizeof at);
  std::memcpy(&length, &bytes[8], sizeof length);
  // Half of the requests begin and end where blocks and sectors do.
  const std::uint32_t unit = (bytes[3] & 1) != 0 ? 512u << bytes[3] % 12 : 1;
  return {.kind = static_cast<Request::Kind>(bytes[0] % Request::kKinds),
          .at = at % kDiskBytes / unit * unit,
          .length = static_cast<std::uint32_t>(round_up(length % (1u << bytes[3] % 23), unit)),
          .fill = bytes[1],
          .flags = bytes[2]};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Images images;
  if (size < 1 + kRequestBytes) return -1;
  const std::string path = images.fresh(data[0] % std::size(kShapes));
  {
    Host host;
    VDISK_ASSERT(host.start({{"file", path}}));
    void* handle = host.connect();
    VDISK_ASSERT(handle != nullptr);
    ModelClient client(host.plugin, handle);
    const std::span bytes(data + 1, size - 1);
    const std::size_t count = std::min(bytes.size() / kRequestBytes, kMostRequests);
    for (std::size_t i = 0; i < count; ++i) {
      client.perform(request_of(bytes.subspan(i * kRequestBytes, kRequestBytes)));
    }
    host.plugin.close(handle);
  }
  const auto report = check(path, {}, false, {});
  VDISK_ASSERT(report && !report->damaged());
  return 0;
}
