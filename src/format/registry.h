// SPDX-License-Identifier: Apache-2.0
//
// The only list of formats, and how one is chosen for a file.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "format/image.h"

namespace vdisk {

/// Every format, in the order in which content is probed. Raw is in it but never probes as its own.
std::span<const Format* const> formats() noexcept;
const Format& format_by_id(FormatId id) noexcept;
/// By the extension of `path`, in any case; null if no format claims it.
const Format* format_by_extension(std::string_view path) noexcept;

/// Chooses the format of `file`: `wanted` if set; else the extension of `path`; else the content. An explicit
/// or extension's type that the content contradicts (another format's signature is there) is an error of that
/// type; no match at all is "format.unrecognised" (0xC03A0014). Never raw by guess.
Result<const Format*> detect_format(File& file, std::string_view path, std::optional<FormatId> wanted);

namespace format::faults {
inline constexpr Fault kUnrecognised{"format.unrecognised", 0xC03A0014,
                                     "Neither the extension nor the content names a format that is known."};
inline constexpr Fault kContradiction{
    "format.contradiction", 1392,
    "The content is of another format than the one asked for or named by the extension."};
inline constexpr Fault kNotWritable{"format.not_writable", 19,
                                    "The image was not opened for writing, or never can be."};
inline constexpr const Fault* kFormat[] = {&kUnrecognised, &kContradiction, &kNotWritable};
}  // namespace format::faults

}  // namespace vdisk
