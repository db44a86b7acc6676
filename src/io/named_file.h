// SPDX-License-Identifier: Apache-2.0
//
// The file that a caller means by a name. What an image records goes to open_posix_file instead, which knows
// no URIs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/file.h"
#include "io/posix_file.h"

namespace vdisk {

/// A local path as open_posix_file, or an NBD URI as open_nbd_file (of `options`, `writable` counts).
Result<std::unique_ptr<File>> open_named_file(const std::string& name, const PosixOpen& options);

/// What of a name may end in an extension that tells the format: a path, and nothing of a URI.
std::string_view name_with_extension(const std::string& name) noexcept;

}  // namespace vdisk
