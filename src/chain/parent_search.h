// SPDX-License-Identifier: Apache-2.0
//
// Where a child's parent may be: turns the paths that Windows recorded into files here, in the order and
// under the policy of ParentSearch.
#pragma once

#include <vdisk/disk.h>
#include <vdisk/image_info.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vdisk {

/// One file that is to be tried as the parent.
struct ParentPath {
  std::string path;    ///< A Linux path, resolved against the child's folder.
  std::string origin;  ///< Why: "relative_path '.\base.vhdx'", "--parent-dir /images", …
  /// Set for `..` and absolute paths: only an image whose identity matches the linkage may be taken.
  bool needs_identity = false;
  /// Only the file name was recorded, or the folder is a guess: a file found here may be there by chance.
  bool by_name = false;
  /// The caller named this very file, which may then be an NBD URI. What an image records never is.
  bool named = false;
};

struct ParentPaths {
  std::vector<ParentPath> to_try;  ///< In order; no duplicates.
  /// What the policy kept from being tried, with the option that would allow it, for the message.
  std::vector<std::string> withheld;
};

/// Candidates for the parent of the image at `child_path`. Names are matched exactly first, then without
/// regard to case, component by component. Touches the file system only to list folders for that.
ParentPaths find_parent_paths(const std::string& child_path, const ParentLocator& locator,
                              const ParentSearch& search);

/// What a path that a caller or an image wrote in Windows' way means here: separators turned, "\\?\" removed,
/// drive letters and UNC shares through the map. Unset when it needs a mapping that is not there.
struct WindowsPath {
  std::optional<std::string> path;
  std::string missing_map;  ///< "C:" or "\\server\share" when `path` is unset.
  bool absolute = false;
};
WindowsPath translate_windows_path(std::string_view recorded, const ParentSearch& search);

/// True for what only Windows would take for more than a file name: "C:\\x", "\\\\server\\share\\x", "a\\b".
bool looks_like_windows_path(std::string_view path);

/// `path` itself if it exists; else the file that it names when case is ignored, component by component;
/// where there is none, as far as there is one and the rest as written. Of folders with more names, the first
/// kMostFolderEntries are looked at.
std::string match_ignoring_case(const std::string& path);
inline constexpr std::size_t kMostFolderEntries = 100'000;

}  // namespace vdisk
