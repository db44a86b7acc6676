// SPDX-License-Identifier: Apache-2.0
//
// Plays nbdkit for the plugin, inside a test program: what nbdkit offers to plugins is defined here, so one
// source of a program includes this.
#pragma once

#define NBDKIT_API_VERSION 2

#include <nbdkit-plugin.h>

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fault.h"

struct nbdkit_extents {
  struct Row {
    std::uint64_t at;
    std::uint64_t length;
    std::uint32_t type;
  };
  std::vector<Row> rows;
};
struct nbdkit_exports {
  std::vector<std::pair<std::string, std::string>> rows;
};

namespace vdisk::serve::nbd {

/// What the plugin told nbdkit on this thread.
struct Told {
  std::string message;
  int error = 0;
  std::string export_name;
};
inline thread_local Told told;

}  // namespace vdisk::serve::nbd

extern "C" {
nbdkit_plugin* plugin_init();

void nbdkit_error(const char* format, ...) {
  char text[4096];
  va_list arguments;
  va_start(arguments, format);
  ::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  vdisk::serve::nbd::told.message = text;
}
void nbdkit_debug(const char*, ...) {}
void nbdkit_set_error(int error) { vdisk::serve::nbd::told.error = error; }
const char* nbdkit_export_name() { return vdisk::serve::nbd::told.export_name.c_str(); }
int nbdkit_parse_bool(const char* word) {
  return std::strcmp(word, "true") == 0 ? 1 : std::strcmp(word, "false") == 0 ? 0 : -1;
}
int nbdkit_add_extent(nbdkit_extents* extents, std::uint64_t at, std::uint64_t length, std::uint32_t type) {
  extents->rows.push_back({at, length, type});
  return 0;
}
int nbdkit_add_export(nbdkit_exports* exports, const char* name, const char* description) {
  exports->rows.emplace_back(name, description);
  return 0;
}
}

namespace vdisk::serve::nbd {

/// One life of a server. Thread rule: connections and requests on any thread.
class Host {
 public:
  Host() : plugin(*plugin_init()) { plugin.load(); }
  ~Host() {
    if (started_) plugin.cleanup();
    plugin.unload();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// Up to where clients may come; false when the plugin refused.
  bool start(const std::vector<std::pair<std::string, std::string>>& parameters) {
    for (const auto& [key, value] : parameters) {
      if (plugin.config(key.c_str(), value.c_str()) != 0) return false;
    }
    if (plugin.config_complete() != 0 || plugin.get_ready() != 0) return false;
    started_ = plugin.after_fork() == 0;
    return started_;
  }
  void* connect(const std::string& name = "", bool read_only = false) {
    told.export_name = name;
    return plugin.open(read_only ? 1 : 0);
  }

  const nbdkit_plugin plugin;

 private:
  bool started_ = false;
};

/// A client's request of any shape: offset and length are cut to what nbdkit lets through.
struct Request {
  enum class Kind : std::uint8_t { kRead, kWrite, kZero, kTrim, kFlush, kExtents };
  static constexpr unsigned kKinds = 6;
  Kind kind = Kind::kRead;
  std::uint64_t at = 0;
  std::uint32_t length = 0;
  std::uint8_t fill = 0;
  std::uint32_t flags = 0;
};

/// A client that knows what its disk must show. Thread rule: one thread.
class ModelClient {
 public:
  ModelClient(const nbdkit_plugin& plugin, void* handle)
      : plugin_(plugin), handle_(handle), shown_(static_cast<std::size_t>(plugin.get_size(handle))) {
    VDISK_ASSERT(plugin_.pread(handle_, shown_.data(), static_cast<std::uint32_t>(shown_.size()), 0, 0) == 0);
  }

  const std::vector<std::byte>& shown() const noexcept { return shown_; }

  /// Does it and asserts that the answer is right.
  void perform(Request request) {
    request.at %= shown_.size();
    request.length =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(request.length, shown_.size() - request.at));
    if (request.kind == Request::Kind::kFlush) VDISK_ASSERT(plugin_.flush(handle_, 0) == 0);
    if (request.length == 0) return;
    switch (request.kind) {
      case Request::Kind::kWrite:
        return write(request);
      case Request::Kind::kZero:
        return zero(request);
      case Request::Kind::kTrim:
        return trim(request);
      case Request::Kind::kExtents:
        return extents(request);
      default:
        return read(request);
    }
  }

 private:
  std::span<std::byte> model(const Request& request) {
    return std::span(shown_).subspan(request.at, request.length);
  }
  std::vector<std::byte> bytes_of(const Request& request) {
    std::vector<std::byte> bytes(request.length);
    VDISK_ASSERT(plugin_.pread(handle_, bytes.data(), request.length, request.at, 0) == 0);
    return bytes;
  }
  void read(const Request& request) { VDISK_ASSERT(std::ranges::equal(bytes_of(request), model(request))); }
  void write(const Request& request) {
    const std::vector<std::byte> bytes(request.length, std::byte{request.fill});
    VDISK_ASSERT(plugin_.pwrite(handle_, bytes.data(), request.length, request.at, 0) == 0);
    std::ranges::copy(bytes, model(request).begin());
  }
  void zero(const Request& request) {
    told.error = 0;
    if (plugin_.zero(handle_, request.length, request.at, request.flags) != 0) {
      VDISK_ASSERT((request.flags & NBDKIT_FLAG_FAST_ZERO) != 0 && told.error == ENOTSUP);
    } else {
      std::ranges::fill(model(request), std::byte{0});
    }
    read(request);
  }
  /// Each byte keeps its value or becomes zero.
  void trim(const Request& request) {
    VDISK_ASSERT(plugin_.trim(handle_, request.length, request.at, 0) == 0);
    const std::vector<std::byte> now = bytes_of(request);
    const std::span<std::byte> before = model(request);
    for (std::size_t i = 0; i < now.size(); ++i) VDISK_ASSERT(now[i] == before[i] || now[i] == std::byte{0});
    std::ranges::copy(now, before.begin());
  }
  /// What is called a hole reads as zeros; the pieces go on from one another.
  void extents(const Request& request) {
    nbdkit_extents found;
    const std::uint32_t one = request.flags & NBDKIT_FLAG_REQ_ONE;
    VDISK_ASSERT(plugin_.extents(handle_, request.length, request.at, one, &found) == 0);
    VDISK_ASSERT(!found.rows.empty() && (one == 0 || found.rows.size() == 1));
    std::uint64_t at = request.at;
    for (const auto& row : found.rows) {
      VDISK_ASSERT(row.at == at && row.length != 0 && row.length <= request.at + request.length - at);
      at += row.length;
      VDISK_ASSERT(row.type == 0 || row.type == (NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO));
      const auto piece = std::span(shown_).subspan(row.at, row.length);
      VDISK_ASSERT(row.type == 0 ||
                   std::ranges::all_of(piece, [](std::byte b) { return b == std::byte{0}; }));
    }
    VDISK_ASSERT(one != 0 || at == request.at + request.length);
  }

  const nbdkit_plugin& plugin_;
  void* const handle_;
  std::vector<std::byte> shown_;
};

}  // namespace vdisk::serve::nbd
