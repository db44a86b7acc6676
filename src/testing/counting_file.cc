// SPDX-License-Identifier: Apache-2.0
#include "testing/counting_file.h"

#include "base/fault.h"

namespace vdisk::testing {

Result<std::size_t> CountingFile::read(FileOffset at, std::span<std::byte> into) {
  ++counts_.reads;
  const std::size_t got = VDISK_TRY(below_->read(at, into));
  counts_.bytes_read += got;
  return got;
}

Status CountingFile::write(FileOffset at, std::span<const std::byte> from) {
  ++counts_.writes;
  counts_.bytes_written += from.size();
  return below_->write(at, from);
}

Status CountingFile::flush() {
  ++counts_.flushes;
  return below_->flush();
}

Status CountingFile::resize(std::uint64_t size_bytes) {
  ++counts_.resizes;
  return below_->resize(size_bytes);
}

}  // namespace vdisk::testing
