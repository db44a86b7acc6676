// SPDX-License-Identifier: Apache-2.0
#include "format/registry.h"

#include <algorithm>
#include <array>

#include "format/raw/raw.h"
#include "format/vhd/vhd.h"
#include "format/vhdx/vhdx.h"

namespace vdisk {

namespace {

constexpr std::array kFormats = {
    &vhdx::kFormat,
    &vhd::kFormat,
    &raw::kFormat,
};

std::string lower_extension(std::string_view path) {
  const auto slash = path.find_last_of("/\\");
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string extension(path.substr(dot + 1));
  // ASCII only, whatever the locale.
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return extension;
}

Result<const Format*> probe_content(File& file) {
  for (const Format* format : formats()) {
    if (VDISK_TRY(format->probe(file)) == Probe::kYes) return format;
  }
  return nullptr;
}

}  // namespace

std::span<const Format* const> formats() noexcept { return kFormats; }

const Format& format_by_id(FormatId id) noexcept {
  const auto* found = std::ranges::find(kFormats, id, &Format::id);
  VDISK_ASSERT(found != kFormats.end());
  return **found;
}

const Format* format_by_extension(std::string_view path) noexcept {
  const std::string extension = lower_extension(path);
  for (const Format* format : kFormats) {
    if (std::ranges::find(format->extensions, extension) != format->extensions.end()) return format;
  }
  return nullptr;
}

Result<const Format*> detect_format(File& file, std::string_view path, std::optional<FormatId> wanted) {
  if (wanted == FormatId::kRaw) return &raw::kFormat;
  const Format* named = wanted ? &format_by_id(*wanted) : format_by_extension(path);
  if (named != nullptr && VDISK_TRY(named->probe(file)) == Probe::kYes) return named;
  const Format* found = VDISK_TRY(probe_content(file));
  if (named == nullptr && found == nullptr) {
    return fail(format::faults::kUnrecognised,
                "{}: neither the extension nor the content is of a known format; name it with --format if "
                "you know it",
                file.name());
  }
  if (named != nullptr && found != nullptr) {
    return fail(format::faults::kContradiction, "{}: {} {}, but the content is {}", file.name(),
                wanted ? "opened as" : "the extension says", named->name, found->name);
  }
  // Named, and nothing else was recognised: the named format's own open says what is wrong with the content.
  return named != nullptr ? named : found;
}

}  // namespace vdisk
