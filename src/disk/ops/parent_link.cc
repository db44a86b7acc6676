// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/parent_link.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/utf16.h"
#include "disk/ops/create_faults.h"
#include "io/faults.h"

namespace vdisk::ops {

namespace {

namespace fs = std::filesystem;

Result<fs::path> resolved(const fs::path& path) {
  std::error_code error;
  fs::path found = fs::canonical(path, error);
  if (error) {
    return fail_errno(
        error.value() == ENOENT ? io::faults::kPathNotFound : io::faults::fault_for_errno(error.value()),
        error.value(), "{}: cannot be resolved", path.native());
  }
  return found;
}

std::string with_backslashes(std::string path) {
  std::ranges::replace(path, '/', '\\');
  return path;
}

/// What of `path` follows `folder`, with its slash; unset when it does not lie in it.
std::optional<std::string_view> rest_behind(const std::string& folder, std::string_view path) {
  if (!path.starts_with(folder)) return std::nullopt;
  path.remove_prefix(folder == "/" ? 0 : folder.size());
  if (!path.starts_with('/')) return std::nullopt;
  return path;
}

/// The longest folder of the drive map that holds `path` gives the drive; "" if none does.
std::string windows_absolute(const std::string& path, const ParentSearch& search) {
  std::size_t longest = 0;
  std::string found;
  for (const auto& [drive, folder] : search.drive_map) {
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error || real.native().size() <= longest) continue;
    const auto rest = rest_behind(real.native(), path);
    if (!rest) continue;
    longest = real.native().size();
    found = with_backslashes(drive + std::string(*rest));
  }
  return found;
}

}  // namespace

Result<ParentLink> link_to_parent(const std::string& child_path, const std::string& parent_path,
                                  const ParentSearch& search) {
  const fs::path child_folder = fs::path(child_path).parent_path();
  const fs::path folder = VDISK_TRY(resolved(child_folder.empty() ? fs::path(".") : child_folder));
  const fs::path parent = VDISK_TRY(resolved(parent_path));
  // Locators hold UTF-16 with backslashes between the names.
  if (parent.native().find('\\') != std::string::npos || !utf8_to_utf16(parent.native())) {
    return fail(faults::kCreateParentName,
                "{}: locators cannot name it, for its path has a backslash or is not UTF-8; rename it",
                parent.native());
  }
  const std::string relative = parent.lexically_relative(folder).native();
  if (!utf8_to_utf16(relative)) {
    return fail(faults::kCreateParentName, "{}: the path from {} to it is not UTF-8", parent.native(),
                folder.native());
  }
  ParentLink link;
  link.name = parent.filename().native();
  link.linux_relative = relative.starts_with("../") ? relative : "./" + relative;
  link.windows_relative = with_backslashes(link.linux_relative);
  link.linux_absolute = parent.native();
  link.windows_absolute = windows_absolute(link.linux_absolute, search);
  return link;
}

}  // namespace vdisk::ops
