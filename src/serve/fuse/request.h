// SPDX-License-Identifier: Apache-2.0
//
// One request of the kernel, taken apart. The kernel is trusted as far as a kernel is; a length that does not
// fit is an answer of EIO all the same, never a read past the end.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "serve/fuse/protocol.h"

namespace vdisk::serve::fuse {

/// Points into the bytes that it was parsed from.
struct Request {
  fuse_in_header header{};
  std::span<const std::byte> body;  ///< What follows the header, extensions left out.

  std::uint64_t node() const noexcept { return header.nodeid; }

  /// The arguments that the body begins with; nothing when it is too short.
  template <class T>
  std::optional<T> argument() const noexcept {
    if (body.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, body.data(), sizeof value);
    return value;
  }
  /// What follows arguments of type T. REQUIRES: argument<T>() has a value.
  template <class T>
  std::span<const std::byte> after() const noexcept {
    return body.subspan(sizeof(T));
  }
  /// The name that the body is: its bytes up to the zero at its end; nothing when there is none.
  std::optional<std::string_view> name() const noexcept;
};

/// What one read of the device returned. Nothing when the bytes cannot be a request; `header`, if given, is
/// then set when there are enough bytes for one, so that an answer is possible.
std::optional<Request> parse_request(std::span<const std::byte> bytes,
                                     fuse_in_header* header = nullptr) noexcept;

}  // namespace vdisk::serve::fuse
