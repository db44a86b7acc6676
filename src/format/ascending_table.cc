// SPDX-License-Identifier: Apache-2.0
#include "format/ascending_table.h"

#include <algorithm>

#include "base/checked.h"

namespace vdisk {

Status AscendingTable::set(std::uint64_t position, std::span<const std::byte> entry) {
  VDISK_ASSERT(fits_within(position, entry.size(), length_));
  const std::uint64_t page = position / kPageBytes;
  VDISK_ASSERT(bytes_.empty() || page >= page_);
  if (page != page_) VDISK_TRY(finish());
  page_ = page;
  if (bytes_.empty()) bytes_.assign(std::min(kPageBytes, length_ - page * kPageBytes), fill_);
  VDISK_ASSERT(position % kPageBytes + entry.size() <= bytes_.size());
  std::ranges::copy(entry, bytes_.begin() + static_cast<std::ptrdiff_t>(position % kPageBytes));
  return {};
}

Status AscendingTable::finish() {
  if (bytes_.empty()) return {};
  VDISK_TRY(file_.write(FileOffset{at_.bytes + page_ * kPageBytes}, bytes_));
  bytes_.clear();
  return {};
}

}  // namespace vdisk
