// SPDX-License-Identifier: Apache-2.0
#include <vdisk/image_info.h>

#include "format/registry.h"

namespace vdisk::inline v1 {

std::string_view to_string(FormatId format) noexcept { return format_by_id(format).name; }

std::optional<FormatId> parse_format(std::string_view word) noexcept {
  for (const Format* format : formats()) {
    if (format->name == word) return format->id;
  }
  return std::nullopt;
}

std::string_view to_string(DiskType type) noexcept {
  switch (type) {
    case DiskType::kFixed:
      return "fixed";
    case DiskType::kDynamic:
      return "dynamic";
    case DiskType::kDifferencing:
      return "differencing";
  }
  return "";
}

}  // namespace vdisk::inline v1
