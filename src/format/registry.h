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

/// Chooses the format of `file`: `wanted` if set; else the extension of `path`, in any case; else the
/// content. Never raw by guess; raw by name is taken as it is. A named format whose signature is missing
/// while another format's is there is a contradiction: it fails with the named format's own error for that
/// content (virtdisk-api.md 2, format detection), to which the message adds what the content is. A named
/// format is taken without its signature when the content is no one else's: its open says what is damaged. No
/// match at all is "format.unrecognised" (0xC03A0014).
Result<const Format*> detect_format(File& file, std::string_view path, std::optional<FormatId> wanted);

namespace internal {
/// The rules of detect_format over any list of formats, in the order in which content is probed.
Result<const Format*> detect_among(std::span<const Format* const> list, File& file, std::string_view path,
                                   std::optional<FormatId> wanted);
}  // namespace internal

namespace format::faults {
inline constexpr Fault kUnrecognised{"format.unrecognised", 0xC03A0014,
                                     "Neither the extension nor the content names a format that is known."};
inline constexpr Fault kNotWritable{"format.not_writable", 19,
                                    "The image was not opened for writing, or never can be."};
inline constexpr Fault kIntentMemory{
    "format.intent.memory", 1359, "The list of changes that a killed server had not flushed cannot be used."};
inline constexpr Fault kIntentConflict{
    "format.intent.conflict", 1359,
    "A change that a killed server had not flushed contradicts what the image says by now."};
inline constexpr const Fault* kFormat[] = {&kUnrecognised, &kNotWritable, &kIntentMemory, &kIntentConflict};
}  // namespace format::faults

}  // namespace vdisk
