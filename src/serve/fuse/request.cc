// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/request.h"

namespace vdisk::serve::fuse {

std::optional<std::string_view> Request::name() const noexcept {
  const void* end = body.empty() ? nullptr : std::memchr(body.data(), 0, body.size());
  if (end == nullptr) return std::nullopt;
  const auto* text = static_cast<const char*>(static_cast<const void*>(body.data()));
  return std::string_view(text, static_cast<std::size_t>(static_cast<const char*>(end) - text));
}

std::optional<Request> parse_request(std::span<const std::byte> bytes, fuse_in_header* header) noexcept {
  Request request;
  if (bytes.size() < sizeof request.header) return std::nullopt;
  std::memcpy(&request.header, bytes.data(), sizeof request.header);
  if (header != nullptr) *header = request.header;
  if (request.header.len != bytes.size()) return std::nullopt;
  request.body = bytes.subspan(sizeof request.header);
  const std::size_t extensions = std::size_t{request.header.total_extlen} * 8;
  if (extensions > request.body.size()) return std::nullopt;
  request.body = request.body.first(request.body.size() - extensions);
  return request;
}

}  // namespace vdisk::serve::fuse
