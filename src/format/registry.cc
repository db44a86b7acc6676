// SPDX-License-Identifier: Apache-2.0
#include "format/registry.h"

#include <algorithm>
#include <array>

#include "format/iso/iso.h"
#include "format/raw/raw.h"
#include "format/vhd/vhd.h"
#include "format/vhdset/vhdset.h"
#include "format/vhdx/vhdx.h"

namespace vdisk {

namespace {

// Containers before what they may hold: a fixed VHD's signature is at its end, so its beginning may look like
// a disc.
constexpr std::array kFormats = {
    &vhdx::kFormat, &vhd::kFormat, &iso::kFormat, &vhdset::kFormat, &raw::kFormat,
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

Result<const Format*> probe_content(std::span<const Format* const> list, File& file) {
  for (const Format* format : list) {
    if (VDISK_TRY(format->probe(file)) == Probe::kYes) return format;
  }
  return nullptr;
}

const Format* find_by_extension(std::span<const Format* const> list, std::string_view path) {
  const std::string extension = lower_extension(path);
  for (const Format* format : list) {
    if (std::ranges::find(format->extensions, extension) != format->extensions.end()) return format;
  }
  return nullptr;
}

// What the named format has to say about content of another one. It is asked rather than given a row of our
// own, so that a VHDX opened as VHD fails as any file without a footer does.
Result<const Format*> contradiction(File& file, const Format& named, const Format& found, bool by_caller) {
  ImageInfo ignored;
  const Status told = named.inspect(file, ImageOpen{}, ignored);
  if (told) return &named;  // Its probe missed what its parser accepts.
  Error error = told.error();
  error.add_context(fmt::format("{} {}, but the content is {} (--format {} opens it)",
                                by_caller ? "opened as" : "the extension says", named.name, found.name,
                                found.name));
  return std::unexpected(std::move(error));
}

}  // namespace

namespace internal {

Result<const Format*> detect_among(std::span<const Format* const> list, File& file, std::string_view path,
                                   std::optional<FormatId> wanted) {
  const Format* named = nullptr;
  if (wanted) {
    const auto place = std::ranges::find(list, *wanted, &Format::id);
    if (place != list.end()) named = *place;
  } else {
    named = find_by_extension(list, path);
  }
  if (named != nullptr) {
    if (named->id == FormatId::kRaw || VDISK_TRY(named->probe(file)) == Probe::kYes) return named;
  }
  const Format* found = VDISK_TRY(probe_content(list, file));
  if (named == nullptr && (found == nullptr || wanted)) {
    return fail(format::faults::kUnrecognised,
                "{}: neither the extension nor the content is of a known format; name it with --format if "
                "you know it",
                file.name());
  }
  if (named == nullptr) return found;
  // Named, and nothing else was recognised: the named format's own open says what is wrong with the content.
  return found == nullptr ? Result<const Format*>(named)
                          : contradiction(file, *named, *found, wanted.has_value());
}

}  // namespace internal

std::span<const Format* const> formats() noexcept { return kFormats; }

const Format& format_by_id(FormatId id) noexcept {
  const auto* found = std::ranges::find(kFormats, id, &Format::id);
  VDISK_ASSERT(found != kFormats.end());
  return **found;
}

const Format* format_by_extension(std::string_view path) noexcept {
  return find_by_extension(kFormats, path);
}

Result<const Format*> detect_format(File& file, std::string_view path, std::optional<FormatId> wanted) {
  return internal::detect_among(kFormats, file, path, wanted);
}

}  // namespace vdisk
