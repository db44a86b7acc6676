// SPDX-License-Identifier: Apache-2.0
//
// bench_images FOLDER BASE: makes huge.vhdx (64 TiB, 1 MiB blocks, sparse) and layer1.vhdx … layer10.vhdx, a chain of
// empty differencing disks over FOLDER/BASE, a VHDX.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/unique_fd.h"
#include "testing/vhdx_builder.h"

namespace {

using vdisk::testing::VhdxBuilder;

/// Copies what is not zero; the rest stays a hole.
bool write_sparse(vdisk::File& from, const std::string& path) {
  const vdisk::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  const auto size = from.size();
  if (fd.get() < 0 || !size || ::ftruncate(fd.get(), static_cast<off_t>(*size)) != 0) return false;
  std::vector<std::byte> piece(64 * vdisk::kKiB);
  for (std::uint64_t at = 0; at < *size; at += piece.size()) {
    const auto got = from.read(vdisk::FileOffset{at}, piece);
    if (!got) return false;
    const std::span<const std::byte> bytes(piece.data(), *got);
    if (std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) continue;
    if (::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(bytes.size())) return false;
  }
  return true;
}

std::u16string widen(const std::string& ascii) { return {ascii.begin(), ascii.end()}; }

bool make_layer(const std::string& folder, int number, const std::string& parent_name, const vdisk::Guid& parent,
                std::uint64_t disk_bytes) {
  VhdxBuilder builder(disk_bytes, 2 * vdisk::kMiB);
  builder.differencing({{u"parent_linkage", widen("{" + parent.to_string() + "}")},
                        {u"relative_path", widen(".\\" + parent_name)}});
  for (int slot : {0, 1}) {
    builder.edit_header(slot, [number](vdisk::vhdx::HeaderLayout& header) {
      vdisk::Guid own = VhdxBuilder::kDataWriteGuid;
      own.bytes[15] = static_cast<std::uint8_t>(0x80 + number);
      header.data_write_guid = own;
    });
  }
  return write_sparse(*builder.build(), fmt::format("{}/layer{}.vhdx", folder, number));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: bench_images FOLDER BASE\n", stderr);
    return 2;
  }
  const std::string folder = argv[1];
  if (!write_sparse(*VhdxBuilder(64 * vdisk::kTiB).build(), folder + "/huge.vhdx")) return 1;
  std::string parent = argv[2];
  for (int number = 1; number <= 10; ++number) {
    const vdisk::Inspection found = vdisk::inspect(folder + "/" + parent);
    if (found.error || !found.info.identifier || !found.info.virtual_size_bytes) {
      if (found.error) std::fprintf(stderr, "%s\n", found.error->message().c_str());
      return 1;
    }
    if (!make_layer(folder, number, parent, *found.info.identifier, *found.info.virtual_size_bytes)) return 1;
    parent = fmt::format("layer{}.vhdx", number);
  }
  return 0;
}
