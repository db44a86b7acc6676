// SPDX-License-Identifier: Apache-2.0
//
// The tool's text for people: names made safe for a terminal, sizes, tables of facts.
#pragma once

#include <vdisk/operations.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace vdisk::cli {

/// `text` with everything that a terminal would not print as itself (control characters, ill-formed UTF-8) as
/// \xNN: names come from untrusted images.
std::string printable(std::string_view text);

/// "1.50 GiB"; "512 bytes" below one KiB.
std::string human_size(std::uint64_t bytes);
/// "1610612736 bytes (1.50 GiB)".
std::string exact_size(std::uint64_t bytes);
/// "1392" or "0xC03A000E", as Windows writes them.
std::string code_text(Win32Code code);
/// "what went wrong [fault.id, 1392 ERROR_FILE_CORRUPT]".
std::string describe(const Error& error);
/// "damage" "warning" "note".
std::string_view severity_word(Finding::Severity severity) noexcept;

/// What is known; not the error, which is for standard error.
std::string info_text(const Inspection& inspection);
std::string check_text(const CheckReport& report, const std::string& path);

}  // namespace vdisk::cli
