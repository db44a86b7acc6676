// SPDX-License-Identifier: Apache-2.0
#include "chain/parent_search.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <set>
#include <span>

#include "base/fault.h"
#include "chain/fold_case.h"
#include "io/nbd_file.h"

namespace vdisk {

namespace {

using Parts = std::vector<std::string>;

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool starts_with_drive(std::string_view path) noexcept {
  return path.size() >= 2 && is_letter(path[0]) && path[1] == ':';
}

std::string turned(std::string_view path) {
  std::string result(path);
  std::ranges::replace(result, '/', '\\');
  return result;
}

// Components without "." and empty ones; "a\.." vanishes, as Windows resolves it before any file is looked
// at. A ".." that would leave the root of a rooted path vanishes too; in others it stays in front.
Parts split(std::string_view path, bool rooted) {
  Parts parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('\\'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!rooted) {
      parts.emplace_back(part);
    }
  }
  return parts;
}

std::string join(std::string base, std::span<const std::string> parts) {
  for (const std::string& part : parts) {
    if (!base.empty() && base.back() != '/') base += '/';
    base += part;
  }
  return base;
}

// A path in Windows' way, taken apart: root is "C:", "\\server\share", "\\?\Volume{…}", or "" for a relative
// one.
struct Parsed {
  std::string root;
  Parts parts;
  bool mappable = true;  // false: a volume name, a device, or a drive that is not said
};

Parsed parse_windows_path(std::string_view recorded) {
  std::string text = turned(recorded);
  std::string_view rest = text;
  const auto take = [&rest] {
    const std::size_t end = std::min(rest.find('\\'), rest.size());
    std::string part(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return part;
  };
  bool unc = false;
  if (rest.starts_with(R"(\\?\)") || rest.starts_with(R"(\\.\)") || rest.starts_with(R"(\??\)")) {
    const std::string prefix(rest.substr(0, 4));
    rest.remove_prefix(4);
    if (rest.size() >= 4 && equal_ignoring_case(rest.substr(0, 4), R"(UNC\)")) {
      rest.remove_prefix(4);
      unc = true;
    } else if (!starts_with_drive(rest)) {
      Parsed parsed{.root = prefix + take(), .parts = {}, .mappable = false};
      parsed.parts = split(rest, true);
      return parsed;
    }
  } else if (rest.starts_with(R"(\\)")) {
    rest.remove_prefix(2);
    unc = true;
  } else if (rest.starts_with('\\')) {
    return {.root = R"(\)", .parts = split(rest, true), .mappable = false};
  }
  if (unc) {
    std::string root = R"(\\)" + take();
    if (!rest.empty()) root += '\\' + take();
    return {.root = std::move(root), .parts = split(rest, true)};
  }
  if (starts_with_drive(rest)) {
    std::string root(rest.substr(0, 2));
    if (root[0] >= 'a') root[0] = static_cast<char>(root[0] - 'a' + 'A');
    return {.root = std::move(root), .parts = split(rest.substr(2), true)};
  }
  return {.root = "", .parts = split(rest, false)};
}

// The folder of the longest map entry that `parsed` lies in, and how many of its parts that entry covers.
struct Mapping {
  const std::string* folder = nullptr;
  std::size_t parts_covered = 0;
};

Mapping find_mapping(const Parsed& parsed, const ParentSearch& search) {
  Mapping best;
  for (const auto& [prefix, folder] : search.drive_map) {
    const Parsed key = parse_windows_path(prefix);
    if (key.root.empty() || !equal_ignoring_case(key.root, parsed.root)) continue;
    if (key.parts.size() > parsed.parts.size()) continue;
    if (!std::ranges::equal(key.parts, std::span(parsed.parts).first(key.parts.size()), equal_ignoring_case))
      continue;
    if (best.folder == nullptr || key.parts.size() > best.parts_covered) best = {&folder, key.parts.size()};
  }
  return best;
}

bool exists(const std::string& path) noexcept {
  struct stat stat{};
  return ::stat(path.c_str(), &stat) == 0;
}

// The first name in `folder`, in byte order, that equals `name` when case is ignored.
std::optional<std::string> find_in_folder(const std::string& folder, const std::string& name) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.empty() ? "." : folder.c_str()),
                                                      ::closedir);
  if (!directory) return std::nullopt;
  std::optional<std::string> found;
  for (std::size_t seen = 0; seen < kMostFolderEntries; ++seen) {
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    if ((!found || entry->d_name < *found) && equal_ignoring_case(entry->d_name, name)) found = entry->d_name;
  }
  return found;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return "";
  return path.substr(0, slash == 0 ? 1 : slash);
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The path of a "file:" URL as Xen's tools write it ("file://./base.vhd", "file:///images/base.vhd"); unset
// for any other. A host other than localhost is another machine's file.
std::optional<std::string> path_of_file_url(std::string_view url) {
  if (url.size() < 7 || !equal_ignoring_case(url.substr(0, 7), "file://")) return std::nullopt;
  url.remove_prefix(7);
  if (url.size() > 9 && equal_ignoring_case(url.substr(0, 10), "localhost/")) url.remove_prefix(9);
  if (!url.starts_with('/') && !url.starts_with("./") && !url.starts_with("../")) return std::nullopt;
  std::string path;
  for (std::size_t i = 0; i < url.size(); ++i) {
    const int high = url[i] == '%' && i + 2 < url.size() ? hex_value(url[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(url[i + 2]) : -1;
    if (low >= 0) {
      path += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      path += url[i];
    }
  }
  return path;
}

// Collects candidates in the order of the policy. Recorded paths are sorted into those beneath the child's
// folder, bare names, and those that lead elsewhere.
class Collector {
 public:
  Collector(const std::string& child_path, const ParentSearch& search)
      : child_folder_(folder_of(child_path)), child_is_remote_(is_nbd_uri(child_path)), search_(search) {}

  void add(const ParentCandidate& candidate) {
    const std::string origin = fmt::format("{} '{}'", candidate.source, candidate.recorded);
    if (search_.ignore_relative && candidate.kind == ParentCandidate::Kind::kRelative) {
      withhold("{}: relative paths are ignored, as the caller asked", origin);
      return;
    }
    std::string recorded = candidate.recorded;
    if (candidate.kind == ParentCandidate::Kind::kUrl) {
      auto path = path_of_file_url(recorded);
      if (!path) {
        withhold("{}: URLs are not followed; fetch the file and name its folder with --parent-dir", origin);
        return;
      }
      recorded = *std::move(path);
    }
    if (recorded.empty() || recorded.find('\0') != std::string::npos) return;
    if (recorded.starts_with('/') && !recorded.starts_with("//")) {
      add_elsewhere(recorded, origin);
      remember_name({recorded.substr(recorded.find_last_of('/') + 1)}, origin);
      return;
    }
    const Parsed parsed = parse_windows_path(recorded);
    remember_name(parsed.parts, origin);
    if (candidate.kind == ParentCandidate::Kind::kName) return;
    if (parsed.root.empty()) {
      add_relative(parsed.parts, origin);
    } else {
      add_rooted(recorded, parsed, origin);
    }
  }

  ParentPaths finish() {
    if (child_is_remote_) {
      withhold("what the child records: it lies on an NBD server, so no path of it leads anywhere here");
    } else {
      try_childs_folder();
    }
    for (const std::string& folder : search_.directories) {
      if (is_nbd_uri(folder)) {
        paths_.to_try.push_back({.path = folder, .origin = "--parent-dir", .by_name = true, .named = true});
        continue;
      }
      for (const std::vector<Place>* places : {&beneath_, &names_}) {
        for (const Place& place : *places) {
          try_path(folder, place.parts, fmt::format("--parent-dir {}, from {}", folder, place.origin), false,
                   true);
        }
      }
    }
    for (const Place& place : elsewhere_) {
      if (!child_is_remote_) try_path(place.base, place.parts, place.origin, true, false);
    }
    return std::move(paths_);
  }

 private:
  struct Place {
    Parts parts;
    std::string origin;
    std::string base;
  };

  void try_childs_folder() {
    for (const Place& place : beneath_) try_path(child_folder_, place.parts, place.origin, false, false);
    for (const Place& place : names_) {
      try_path(child_folder_, place.parts, "the file name in the child's folder, from " + place.origin, false,
               true);
    }
  }

  template <class... Args>
  void withhold(fmt::format_string<Args...> format, Args&&... args) {
    paths_.withheld.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void remember_name(const Parts& parts, const std::string& origin) {
    if (parts.empty() || parts.back().empty() || parts.back() == "..") return;
    names_.push_back({{parts.back()}, origin, ""});
  }

  void add_relative(const Parts& parts, const std::string& origin) {
    if (parts.empty()) return;
    if (parts.front() != "..") {
      beneath_.push_back({parts, origin, ""});
    } else if (search_.confine) {
      withhold("{}: leads out of the child's folder, which --confine forbids", origin);
    } else {
      elsewhere_.push_back({parts, origin, child_folder_});
    }
  }

  void add_elsewhere(const std::string& path, const std::string& origin) {
    if (search_.confine) {
      withhold("{}: an absolute path, which --confine forbids", origin);
    } else {
      elsewhere_.push_back({{}, origin, path});
    }
  }

  void add_rooted(const std::string& recorded, const Parsed& parsed, const std::string& origin) {
    const WindowsPath translated = translate_windows_path(recorded, search_);
    if (translated.path) {
      add_elsewhere(*translated.path, origin);
    } else if (search_.confine) {
      withhold("{}: an absolute path, which --confine forbids", origin);
    } else if (parsed.mappable) {
      withhold("{}: what {} means here is not known; say it with --map-drive {}=DIR", origin,
               translated.missing_map, translated.missing_map);
    } else {
      withhold(
          "{}: names a Windows volume or device, which has no meaning here; name the folder with "
          "--parent-dir",
          origin);
    }
  }

  void try_path(const std::string& base, const Parts& parts, const std::string& origin, bool needs_identity,
                bool by_name) {
    std::string path = match_ignoring_case(join(base, parts));
    if (!seen_.insert(path).second) return;
    paths_.to_try.push_back({std::move(path), origin, needs_identity, by_name});
  }

  const std::string child_folder_;
  const bool child_is_remote_;
  const ParentSearch& search_;
  std::vector<Place> beneath_, names_, elsewhere_;
  std::set<std::string> seen_;
  ParentPaths paths_;
};

void add_environment_lists(ParentSearch& search) {
  const auto each_piece = [](const char* name, char separator, auto&& take) {
    const char* value = ::secure_getenv(name);
    std::string_view rest = value != nullptr ? value : "";
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(separator), rest.size());
      if (end != 0) take(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  };
  each_piece("VDISK_PARENT_DIRS", ':',
             [&](std::string_view piece) { search.directories.emplace_back(piece); });
  each_piece("VDISK_MAP_DRIVES", ';', [&](std::string_view piece) {
    const std::size_t equals = piece.find('=');
    if (equals == 0 || equals == std::string_view::npos || equals + 1 == piece.size()) return;
    search.drive_map.emplace_back(piece.substr(0, equals), piece.substr(equals + 1));
  });
}

}  // namespace

ParentPaths find_parent_paths(const std::string& child_path, const ParentLocator& locator,
                              const ParentSearch& search) {
  Collector collector(child_path, search);
  for (const ParentCandidate& candidate : locator.candidates) collector.add(candidate);
  return collector.finish();
}

WindowsPath translate_windows_path(std::string_view recorded, const ParentSearch& search) {
  if (recorded.starts_with('/') && !recorded.starts_with("//")) {
    return {.path = std::string(recorded), .missing_map = "", .absolute = true};
  }
  const Parsed parsed = parse_windows_path(recorded);
  if (parsed.root.empty()) return {.path = join("", parsed.parts), .missing_map = "", .absolute = false};
  const Mapping mapping = find_mapping(parsed, search);
  if (mapping.folder == nullptr) return {.path = std::nullopt, .missing_map = parsed.root, .absolute = true};
  return {.path = join(*mapping.folder, std::span(parsed.parts).subspan(mapping.parts_covered)),
          .missing_map = "",
          .absolute = true};
}

bool looks_like_windows_path(std::string_view path) {
  return starts_with_drive(path) || path.starts_with("//") || path.find('\\') != std::string_view::npos;
}

std::string match_ignoring_case(const std::string& path) {
  if (path.empty() || exists(path)) return path;
  std::string found = path.front() == '/' ? "/" : "";
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string part(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty()) continue;
    std::string next = join(found, {&part, 1});
    if (!exists(next)) {
      const auto name = find_in_folder(found, part);
      if (!name) return rest.empty() ? next : next + "/" + std::string(rest);
      next = join(found, {&*name, 1});
    }
    found = std::move(next);
  }
  return found;
}

inline namespace v1 {

ParentSearch ParentSearch::from_environment() {
  try {
    ParentSearch search;
    const char* confine = ::secure_getenv("VDISK_CONFINE");
    search.confine = confine != nullptr && std::string_view(confine) == "1";
    add_environment_lists(search);
    return search;
  } catch (const std::bad_alloc&) {
    // A caller who may have asked to be confined is confined.
    ParentSearch search;
    search.confine = true;
    return search;
  }
}

}  // namespace v1

}  // namespace vdisk
