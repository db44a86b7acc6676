// SPDX-License-Identifier: Apache-2.0
//
// nbdkit's side: its callbacks, each of which calls one member of ServedImage or Export and tells nbdkit what
// failed. No exception passes into nbdkit, which is C. The order of its calls: config per parameter,
// config_complete, get_ready, (fork), open … close per client, cleanup, unload.
#define NBDKIT_API_VERSION 2

#include <nbdkit-plugin.h>
#include <vdisk/version.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "base/checked.h"
#include "chain/parent_search.h"
#include "disk/guarded.h"
#include "serve/nbd/errno_of.h"
#include "serve/nbd/served_image.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace vdisk::serve::nbd {

namespace {

constexpr std::uint32_t kMostRequestBytes = 32 * kMiB;
constexpr std::uint32_t kLeastPreferredBytes = 4096;  // what the host's files are made of
constexpr std::size_t kMostPieces = 4096;

struct Plugin {
  std::string path;
  OpenOptions options;
  std::unique_ptr<ServedImage> image;
  bool close_failed = false;
};

// Made by load and deleted by unload, not by static destructors: with `nbdkit --run` the process that only
// waits for the command runs those too, and must not close the server's image.
Plugin* plugin = nullptr;

void tell(const Error& error) {
  nbdkit_error("%s", error.message().c_str());
  nbdkit_set_error(errno_of(error));
}

/// Runs `body`, a Status; nbdkit's 0 or -1.
template <class Body>
int answer(Body&& body) noexcept {
  const Status status = guarded(std::forward<Body>(body));
  if (status) return 0;
  tell(status.error());
  return -1;
}

Export& export_of(void* handle) noexcept { return *static_cast<Export*>(handle); }

// nbdkit changes to the root folder when it goes into the background.
std::string absolute(const std::string& path) {
  if (looks_like_windows_path(path)) return path;
  std::error_code error;
  const std::filesystem::path found = std::filesystem::absolute(path, error);
  return error ? path : found.native();
}

int wrong_value(const char* key, const char* value, const char* wanted) {
  nbdkit_error("%s=%s: %s", key, value, wanted);
  return -1;
}

int set_bool(const char* value, bool& into) {
  const int parsed = nbdkit_parse_bool(value);
  if (parsed >= 0) into = parsed != 0;
  return parsed >= 0 ? 0 : -1;
}

int configure(std::string_view key, const char* value) {
  OpenOptions& options = plugin->options;
  if (key == "file") {
    plugin->path = absolute(value);
  } else if (key == "format") {
    options.format = parse_format(value);
    if (!options.format) return wrong_value("format", value, "is none of raw, vhd, vhdx, vhdset, iso");
  } else if (key == "parent-dir") {
    options.parents.directories.push_back(absolute(value));
  } else if (key == "map-drive") {
    const std::string_view map = value;
    const std::size_t equals = map.find('=');
    if (equals == 0 || equals == std::string_view::npos || equals + 1 == map.size()) {
      return wrong_value("map-drive", value, "is not of the form C:=DIR or \\\\server\\share=DIR");
    }
    options.parents.drive_map.emplace_back(map.substr(0, equals),
                                           absolute(std::string(map.substr(equals + 1))));
  } else if (key == "confine") {
    return set_bool(value, options.parents.confine);
  } else if (key == "allow-raw-parent") {
    return set_bool(value, options.parents.allow_raw);
  } else {
    nbdkit_error("there is no parameter '%s'", std::string(key).c_str());
    return -1;
  }
  return 0;
}

constexpr const char* kConfigHelp =
    "[file=]IMAGE           (required) The image to serve.\n"
    "format=F               raw, vhd, vhdx, vhdset or iso; found out by default, but never raw.\n"
    "parent-dir=DIR         Also look for parents in DIR; repeatable.\n"
    "confine=true           Follow no recorded path out of the image's folder or the given ones.\n"
    "map-drive=C:=DIR       What a Windows drive or share means here; repeatable.\n"
    "allow-raw-parent=true  Allow a parent that is a raw file.";

void on_load() {
  // A Plugin that could not be made is told by config or config_complete.
  static_cast<void>(answer([]() -> Status {
    plugin = new Plugin;
    plugin->options.parents = ParentSearch::from_environment();
    plugin->options.trace = [](TraceLevel level, std::string_view text) {
      if (level == TraceLevel::kWarning) {
        nbdkit_error("warning: %s", std::string(text).c_str());
      } else {
        nbdkit_debug("%s", std::string(text).c_str());
      }
    };
    return {};
  }));
}

void on_unload() {
  const bool failed = plugin != nullptr && plugin->close_failed;
  delete plugin;
  plugin = nullptr;
  // nbdkit has no way to hear of it, but whoever started it must: everything else is done by now.
  if (failed) std::_Exit(EXIT_FAILURE);
}

int on_config(const char* key, const char* value) {
  if (plugin == nullptr) return -1;
  int result = -1;
  const int done = answer([&]() -> Status {
    result = configure(key, value);
    return {};
  });
  return done == 0 ? result : -1;
}

int on_config_complete() {
  if (plugin == nullptr) return -1;
  if (!plugin->path.empty()) return 0;
  nbdkit_error("which image? Say file=IMAGE");
  return -1;
}

// What cannot be served is told while there is neither socket nor client. The image does not stay open: with
// `nbdkit --run` it would be open, and locked, in the process that waits for the command too.
int on_get_ready() {
  return answer([]() -> Status {
    OpenOptions options = plugin->options;
    options.trace = {};
    static_cast<void>(VDISK_TRY(Disk::open(plugin->path, options)));
    return {};
  });
}

int on_after_fork() {
  return answer([]() -> Status {
    plugin->image = std::make_unique<ServedImage>(plugin->path, plugin->options);
    return plugin->image->open();
  });
}

void* on_open(int read_only) {
  std::unique_ptr<Export> opened;
  const int result = answer([&]() -> Status {
    const char* name = nbdkit_export_name();
    opened = VDISK_TRY(plugin->image->export_by_name(name != nullptr ? name : "", read_only != 0));
    return {};
  });
  return result == 0 ? opened.release() : nullptr;
}

void on_close(void* handle) { delete &export_of(handle); }

void on_cleanup() {
  if (plugin->image == nullptr) return;
  plugin->close_failed = answer([] { return plugin->image->close(); }) != 0;
}

int on_list_exports(int, int, nbdkit_exports* exports) {
  return answer([&]() -> Status {
    for (const ExportRow& row : VDISK_TRY(plugin->image->list())) {
      // It fails for lack of memory alone, and has said so.
      if (nbdkit_add_export(exports, row.name.c_str(), row.description.c_str()) != 0) break;
    }
    return {};
  });
}

const char* on_default_export(int, int) { return ""; }

std::int64_t on_get_size(void* handle) { return static_cast<std::int64_t>(export_of(handle).size_bytes()); }

int on_block_size(void* handle, std::uint32_t* minimum, std::uint32_t* preferred, std::uint32_t* maximum) {
  const DiskGeometry& geometry = export_of(handle).geometry();
  *minimum = geometry.logical_sector_bytes;
  *preferred = std::max(geometry.physical_sector_bytes, kLeastPreferredBytes);
  *maximum = kMostRequestBytes;
  return 0;
}

int on_can_write(void* handle) { return export_of(handle).writable() ? 1 : 0; }
int always(void*) { return 1; }
int never(void*) { return 0; }
// One disk serves all clients, so a flush covers what any of them wrote.
int on_can_multi_conn(void*) { return 1; }
int on_can_fua(void*) { return NBDKIT_FUA_EMULATE; }      // by a flush after the request
int on_can_cache(void*) { return NBDKIT_CACHE_EMULATE; }  // by a read

int on_pread(void* handle, void* into, std::uint32_t count, std::uint64_t at, std::uint32_t) {
  return answer([&] { return export_of(handle).read(at, {static_cast<std::byte*>(into), count}); });
}

int on_pwrite(void* handle, const void* from, std::uint32_t count, std::uint64_t at, std::uint32_t) {
  return answer([&] { return export_of(handle).write(at, {static_cast<const std::byte*>(from), count}); });
}

int on_flush(void* handle, std::uint32_t) {
  return answer([&] { return export_of(handle).flush(); });
}

int on_trim(void* handle, std::uint32_t count, std::uint64_t at, std::uint32_t) {
  return answer([&] { return export_of(handle).trim(at, count); });
}

int on_zero(void* handle, std::uint32_t count, std::uint64_t at, std::uint32_t flags) {
  const ZeroSpace space = (flags & NBDKIT_FLAG_MAY_TRIM) != 0 ? ZeroSpace::kFree : ZeroSpace::kKeep;
  bool too_slow = false;
  const int result = answer([&]() -> Status {
    if ((flags & NBDKIT_FLAG_FAST_ZERO) != 0 &&
        !VDISK_TRY(export_of(handle).zero_is_fast(at, count, space))) {
      too_slow = true;
      return {};
    }
    return export_of(handle).zero(at, count, space);
  });
  if (!too_slow) return result;
  nbdkit_set_error(ENOTSUP);  // The client asked to be told; nobody else is to be.
  return -1;
}

int on_extents(void* handle, std::uint32_t count, std::uint64_t at, std::uint32_t flags,
               nbdkit_extents* extents) {
  const std::size_t most = (flags & NBDKIT_FLAG_REQ_ONE) != 0 ? 1 : kMostPieces;
  int result = 0;
  const int done = answer([&]() -> Status {
    for (const Export::Piece& piece : VDISK_TRY(export_of(handle).pieces(at, count, most))) {
      const std::uint32_t type = piece.zero ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
      result = nbdkit_add_extent(extents, piece.at, piece.length, type);
      if (result != 0) break;
    }
    return {};
  });
  return done == 0 ? result : -1;
}

nbdkit_plugin table() {
  nbdkit_plugin callbacks{};
  callbacks.name = "vdisk";
  callbacks.longname = "virtual disk images";
  callbacks.version = VDISK_VERSION_STRING;
  callbacks.description = "serves VHD, VHDX and ISO images with their parents";
  callbacks.load = on_load;
  callbacks.unload = on_unload;
  callbacks.config = on_config;
  callbacks.config_complete = on_config_complete;
  callbacks.config_help = kConfigHelp;
  callbacks.magic_config_key = "file";
  callbacks.get_ready = on_get_ready;
  callbacks.after_fork = on_after_fork;
  callbacks.open = on_open;
  callbacks.close = on_close;
  callbacks.cleanup = on_cleanup;
  callbacks.list_exports = on_list_exports;
  callbacks.default_export = on_default_export;
  callbacks.get_size = on_get_size;
  callbacks.block_size = on_block_size;
  callbacks.can_write = on_can_write;
  callbacks.can_flush = always;
  callbacks.can_trim = always;
  callbacks.can_zero = always;
  callbacks.can_fast_zero = always;
  callbacks.can_extents = always;
  callbacks.is_rotational = never;
  callbacks.can_fua = on_can_fua;
  callbacks.can_cache = on_can_cache;
  callbacks.can_multi_conn = on_can_multi_conn;
  callbacks.pread = on_pread;
  callbacks.pwrite = on_pwrite;
  callbacks.flush = on_flush;
  callbacks.trim = on_trim;
  callbacks.zero = on_zero;
  callbacks.extents = on_extents;
  return callbacks;
}

nbdkit_plugin callbacks = table();

}  // namespace

}  // namespace vdisk::serve::nbd

NBDKIT_REGISTER_PLUGIN(vdisk::serve::nbd::callbacks)
