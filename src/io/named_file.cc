// SPDX-License-Identifier: Apache-2.0
#include "io/named_file.h"

#include "io/nbd_file.h"

namespace vdisk {

Result<std::unique_ptr<File>> open_named_file(const std::string& name, const PosixOpen& options) {
  if (is_nbd_uri(name)) return open_nbd_file(name, {.writable = options.writable});
  return open_posix_file(name, options);
}

std::string_view name_with_extension(const std::string& name) noexcept {
  return is_nbd_uri(name) ? std::string_view() : std::string_view(name);
}

}  // namespace vdisk
